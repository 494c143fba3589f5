"""The Connect protocol by its makers' own client for Node, with nothing of ours but the .proto files."""

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from workevo_testing.server_process import ServerProcess
from workevo_testing.wire_calls import BackEnd

REPOSITORY = Path(__file__).parents[2]
NODE_CLIENT = Path(__file__).parent / "node_client"
BUF = Path(sysconfig.get_path("scripts")) / "buf"
RUN_SECONDS_MAX = 60
ENCODINGS = {"proto": "true", "json": "false"}

pytestmark = pytest.mark.skipif(not BUF.exists(), reason="buf is missing beside this Python: scripts/setup")

Json = dict[str, Any]


@pytest.fixture
def seen(server: ServerProcess, tmp_path: Path) -> Json:
    if shutil.which("node") is None:
        pytest.skip("Node is missing: install it (Debian: apt-get install nodejs npm).")
    if not (NODE_CLIENT / "node_modules" / "@connectrpc").is_dir():
        pytest.skip("The Node client's packages are missing: npm ci --prefix tests/contract/node_client")
    image = tmp_path / "contract.binpb"
    subprocess.run([BUF, "build", REPOSITORY / "protos", "-o", image], check=True, timeout=RUN_SECONDS_MAX)
    done = subprocess.run(
        ["node", NODE_CLIENT / "connect.mjs"],
        input=json.dumps(
            {
                "url": f"http://{server.http_address}",
                "sdk_key": server.keys.sdk_key,
                "image": str(image),
            }
        ),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed: Json = json.loads(done.stdout)
    return printed


def test_what_connect_node_uploads_is_judged_event_by_event_and_stored(seen: Json, back_end: BackEnd) -> None:
    for encoding, told in ENCODINGS.items():
        answer = seen[encoding]["answer"]
        assert answer["acceptedCount"] == 1
        assert [(each["index"], each["reason"]) for each in answer["results"]] == [(1, "REASON_NAME_INVALID")]
        (activity,) = back_end.activities(f"user of connect-node {told}")
        assert activity.event.name == "seen by connect-node"
        assert activity.event.metadata[0].integer == 2**53 + 1


def test_connect_node_is_told_why_it_is_refused(seen: Json) -> None:
    for encoding in ENCODINGS:
        assert seen[encoding]["unknown_key"] == {
            "code": "Unauthenticated",
            "details": ["google.rpc.ErrorInfo"],
        }
        assert seen[encoding]["no_install"] == {
            "code": "InvalidArgument",
            "details": ["google.rpc.ErrorInfo", "google.rpc.BadRequest"],
        }
