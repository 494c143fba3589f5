"""A second independent client: `buf curl`, written in Go, with nothing but the .proto files."""

import base64
import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from workevo_testing.server_process import ServerProcess

PROTOS = Path(__file__).parents[2] / "protos"
BUF = Path(sysconfig.get_path("scripts")) / "buf"
CALL_SECONDS_MAX = 60
BIG_INTEGER = "9007199254740993"  # 2^53 + 1: no double holds it.

pytestmark = pytest.mark.skipif(not BUF.exists(), reason="buf is missing beside this Python: scripts/setup")

Json = dict[str, Any]


Done = subprocess.CompletedProcess[str]


def run_buf(server: ServerProcess, method: str, request: Json, *, key: str) -> Done:
    return subprocess.run(
        [
            str(BUF),
            "curl",
            *("--protocol", "grpc", "--http2-prior-knowledge", "--emit-defaults"),
            *("--schema", str(PROTOS)),
            *("--header", f"authorization: Bearer {key}"),
            *("--data", json.dumps(request)),
            f"http://{server.grpc_address}/{method}",
        ],
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS_MAX,
        check=False,
    )


def call(server: ServerProcess, method: str, request: Json, *, key: str) -> Json:
    done = run_buf(server, method, request, key=key)
    assert done.returncode == 0, done.stderr
    answer: Json = json.loads(done.stdout)
    return answer


def an_upload() -> Json:
    return {
        "install": {"installId": "buf-phone", "epoch": base64.b64encode(bytes(16)).decode()},
        "lastSequence": 2,
        "events": [
            {
                "sequence": 1,
                "name": "invited-friend",
                "createdAt": "2026-01-02T03:04:05.500Z",
                "userId": "buf-user",
                "metadata": [
                    {"key": "text", "text": "before\0after"},
                    {"key": "integer", "integer": BIG_INTEGER},
                    {"key": "price", "monetary": {"amount": "2999", "currency": "usd"}},
                ],
            },
            {"sequence": 2, "name": "", "createdAt": "2026-01-02T03:04:05Z", "userId": "buf-user"},
        ],
    }


def test_what_buf_curl_uploads_it_reads_back(server: ServerProcess) -> None:
    upload = call(
        server,
        "workevo.tracking.v1.TrackingService/UploadEvents",
        an_upload(),
        key=server.keys.sdk_key,
    )
    timeline = call(
        server,
        "workevo.insight.v1.PeopleService/ListActivities",
        {"userId": "buf-user"},
        key=server.keys.server_key,
    )

    assert upload["acceptedCount"] == 1
    assert [(each["verdict"], each["reason"]) for each in upload["results"]] == [
        ("VERDICT_REJECTED", "REASON_NAME_INVALID")
    ]
    (activity,) = timeline["activities"]
    assert activity["occurredAt"] == "2026-01-02T03:04:05.500Z"
    assert activity["event"]["displayName"] == "Invited friend"
    assert activity["event"]["metadata"] == [
        {"key": "text", "text": "before\0after"},
        {"key": "integer", "integer": BIG_INTEGER},
        {"key": "price", "monetary": {"amount": "2999", "currency": "USD"}},
    ]


def test_buf_curl_is_told_why_it_is_refused(server: ServerProcess) -> None:
    done = run_buf(server, "workevo.tracking.v1.TrackingService/UploadEvents", an_upload(), key="nobody")

    assert done.returncode != 0
    refusal = json.loads(done.stderr)
    assert refusal["code"] == "unauthenticated"
    (detail,) = refusal["details"]
    assert detail["type"] == "google.rpc.ErrorInfo"
