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


def run_buf(server: ServerProcess, method: str, request: Json, *, key: str, protocol: str = "grpc") -> Done:
    doors: dict[str, tuple[str, list[str]]] = {
        "grpc": (server.grpc_address, ["--http2-prior-knowledge"]),
        "connect": (server.http_address, []),
    }
    address, transport = doors[protocol]
    return subprocess.run(
        [
            str(BUF),
            "curl",
            *("--protocol", protocol, *transport, "--emit-defaults"),
            *("--schema", str(PROTOS)),
            *("--header", f"authorization: Bearer {key}"),
            *("--data", json.dumps(request)),
            f"http://{address}/{method}",
        ],
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS_MAX,
        check=False,
    )


def call(server: ServerProcess, method: str, request: Json, *, key: str, protocol: str = "grpc") -> Json:
    done = run_buf(server, method, request, key=key, protocol=protocol)
    assert done.returncode == 0, done.stderr
    answer: Json = json.loads(done.stdout)
    return answer


def an_upload(user_id: str) -> Json:
    return {
        "install": {"installId": f"phone of {user_id}", "epoch": base64.b64encode(bytes(16)).decode()},
        "lastSequence": 2,
        "events": [
            {
                "sequence": 1,
                "name": "invited-friend",
                "createdAt": "2026-01-02T03:04:05.500Z",
                "userId": user_id,
                "metadata": [
                    {"key": "text", "text": "before\0after"},
                    {"key": "integer", "integer": BIG_INTEGER},
                    {"key": "price", "monetary": {"amount": "2999", "currency": "usd"}},
                ],
            },
            {"sequence": 2, "name": "", "createdAt": "2026-01-02T03:04:05Z", "userId": user_id},
        ],
    }


@pytest.mark.parametrize("protocol", ["grpc", "connect"])
def test_what_buf_curl_uploads_it_reads_back(server: ServerProcess, protocol: str) -> None:
    user_id = f"buf-user over {protocol}"
    upload = call(
        server,
        "workevo.tracking.v1.TrackingService/UploadEvents",
        an_upload(user_id),
        key=server.keys.sdk_key,
        protocol=protocol,
    )
    timeline = call(
        server,
        "workevo.insight.v1.PeopleService/ListActivities",
        {"userId": user_id},
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


@pytest.mark.parametrize("protocol", ["grpc", "connect"])
def test_buf_curl_is_told_why_it_is_refused(server: ServerProcess, protocol: str) -> None:
    method = "workevo.tracking.v1.TrackingService/UploadEvents"
    done = run_buf(server, method, an_upload("nobody"), key="nobody", protocol=protocol)

    assert done.returncode != 0
    refusal = json.loads(done.stderr)
    assert refusal["code"] == "unauthenticated"
    (detail,) = refusal["details"]
    assert detail["type"] == "google.rpc.ErrorInfo"
