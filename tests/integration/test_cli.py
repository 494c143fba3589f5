"""The operator's commands: what they print, and the one sentence when something is wrong."""

import hashlib
import hmac
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from workevo.tracking.v1 import tracking_pb2
from workevo_testing.server_process import Keys, ServerProcess, run_command
from workevo_testing.wire_calls import Phone, event


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), workspace="Shop") as running:
        yield running


def _fails(server: ServerProcess, *arguments: str) -> subprocess.CalledProcessError:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        server.command(*arguments)
    assert "Traceback" not in caught.value.stderr
    assert caught.value.stdout == ""
    return caught.value


def test_a_new_workspace_is_one_json_object_with_four_keys(server: ServerProcess) -> None:
    made = Keys(**json.loads(server.command("workspace", "create", "Fresh", "--json")))

    keys = [made.sdk_key, made.browser_key, made.server_key, made.admin_key]
    assert len(set(keys)) == 4
    assert [key.split("_")[1] for key in keys] == ["sdk", "browser", "server", "admin"]


def test_without_json_every_key_is_told_with_its_purpose(server: ServerProcess) -> None:
    table = server.command("workspace", "create", "Readable")

    assert "workspace_id" in table
    assert "in a mobile app; public" in table


def test_of_a_new_workspace_s_browser_key_is_said_how_to_make_one_that_serves_pages(
    server: ServerProcess,
) -> None:
    said = server.command("workspace", "create", "With pages").splitlines()[-1].split()

    assert said[0] == "workevo"
    server.command(*said[1:])
    assert "https://example.org" in server.command("key", "list", "With pages")


def test_settings_are_shown_and_changed(server: ServerProcess) -> None:
    changed = server.command(
        "workspace", "set", "Shop", "metadata_keys_max=7", "key_charset=strict", "--json"
    )
    assert json.loads(changed)["settings"]["metadata_keys_max"] == "7"

    shown = json.loads(server.command("workspace", "show", "Shop", "--json"))
    assert shown["settings"]["key_charset"] == "strict"
    assert shown["workspace_id"] == server.keys.workspace_id
    assert "metadata_keys_max        7" in server.command("workspace", "show", server.keys.workspace_id)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["metadata_keys_max=21"], "0 to 20"),
        (["metadata_keys_max=many"], "0 to 20"),
        (["key_charset=ascii"], "any or strict"),
        (["colour=red"], "There is no setting 'colour'"),
        (["metadata_keys_max"], "KEY=VALUE"),
        (["product_identity_window=99999"], "hours"),
    ],
)
def test_a_wrong_setting_is_refused_and_nothing_is_changed(
    server: ServerProcess, changes: list[str], sentence: str
) -> None:
    before = server.command("workspace", "show", "Shop", "--json")

    failed = _fails(server, "workspace", "set", "Shop", "event_names_max=9", *changes)

    assert failed.returncode == 2
    assert sentence in failed.stderr
    assert server.command("workspace", "show", "Shop", "--json") == before


def test_keys_are_listed_by_prefix_and_never_whole(server: ServerProcess) -> None:
    made = json.loads(server.command("key", "create", "Shop", "server", "--json"))

    listed = server.command("key", "list", "Shop")

    assert made["key"] not in listed
    prefixes = [key["prefix"] for key in json.loads(server.command("key", "list", "Shop", "--json"))["keys"]]
    assert any(made["key"].startswith(prefix) for prefix in prefixes)


def test_a_revoked_key_stays_in_the_list_as_revoked(server: ServerProcess) -> None:
    made = json.loads(server.command("key", "create", "Shop", "sdk", "--json"))["key"]
    keys = json.loads(server.command("key", "list", "Shop", "--json"))["keys"]
    (prefix,) = (key["prefix"] for key in keys if made.startswith(key["prefix"]))

    server.command("key", "revoke", "Shop", prefix)
    server.command("key", "revoke", "Shop", prefix)

    keys = json.loads(server.command("key", "list", "Shop", "--json"))["keys"]
    assert [key["prefix"] for key in keys if key["revoked_at"]] == [prefix]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ["workspace", "show", "Nobody"],
            1,
            "no such workspace in this store. `workevo workspace list` shows",
        ),
        (["workspace", "audit", "Shop", "--count", "10001"], 2, "less than or equal to 10000"),
        (["key", "create", "Shop", "root"], 2, "sdk, browser, server, admin"),
        (["key", "revoke", "Shop", "wk_nothing"], 1, "no such key"),
        (["workspace", "create", ""], 2, "1 to 255"),
        (["workspace", "create", "x" * 256], 2, "1 to 255"),
        (["workspace", "create", "a\nb"], 2, "control characters"),
        (["workspace", "frob"], 2, "frob"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(
    server: ServerProcess, arguments: list[str], code: int, sentence: str
) -> None:
    failed = _fails(server, *arguments)

    assert failed.returncode == code
    assert sentence in failed.stderr


def test_commands_on_a_directory_that_is_not_there_make_none(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_command("workspace", "list", "--data-dir", str(tmp_path / "none"))

    assert "There is no data directory" in caught.value.stderr
    assert not (tmp_path / "none").exists()


def test_an_identity_secret_is_shown_once_listed_by_name_and_revoked(server: ServerProcess) -> None:
    made = json.loads(server.command("secret", "create", "Shop", "--json"))
    other = json.loads(server.command("secret", "create", server.keys.workspace_id, "--json"))
    assert made["secret"] != other["secret"]

    revoked_one = json.loads(server.command("secret", "revoke", "Shop", made["secret_id"], "--json"))
    assert revoked_one["revoked"] == made["secret_id"]
    server.command("secret", "revoke", "Shop", made["secret_id"])  # Twice is harmless.

    listed = server.command("secret", "list", "Shop", "--json")
    assert made["secret"] not in listed
    assert other["secret"] not in listed
    revoked = {each["secret_id"]: each["revoked_at"] for each in json.loads(listed)["secrets"]}
    assert revoked[made["secret_id"]] is not None
    assert revoked[other["secret_id"]] is None
    table = server.command("secret", "list", "Shop")
    assert {made["secret_id"], other["secret_id"]} <= set(table.split())
    assert table.count("revoked ") == 1


def test_a_new_identity_secret_is_told_for_people_too_and_proves_until_it_is_revoked(
    server: ServerProcess,
) -> None:
    """R19, from the command line to a device's verdict."""
    workspace = server.create_workspace("Proving")
    table = server.command("secret", "create", workspace.workspace_id)
    secret_id, secret = (line.split()[1] for line in table.splitlines())
    server.command("workspace", "set", workspace.workspace_id, "identity_verification=enforced")
    proof = tracking_pb2.IdentityProof(
        user_id="u1", user_hash=hmac.new(secret.encode(), b"u1", hashlib.sha256).hexdigest()
    )

    def accepted(sequence: int) -> int:
        with grpc.insecure_channel(server.grpc_address) as channel:
            sent = event(sequence, user_id="u1")
            return Phone(channel, workspace.sdk_key).upload([sent], identity_proofs=[proof]).accepted_count

    assert accepted(1) == 1
    server.command("secret", "revoke", workspace.workspace_id, secret_id)
    assert accepted(2) == 0


def test_a_secret_that_is_not_there_is_told_in_one_sentence(server: ServerProcess) -> None:
    failed = _fails(server, "secret", "revoke", "Shop", "is_nothing")
    assert "There is no such" in failed.stderr
    assert "There is no such workspace" in _fails(server, "secret", "create", "Nowhere").stderr


def test_a_link_to_a_console_that_no_server_opens_is_refused_with_a_sentence(tmp_path: Path) -> None:
    place = ("--data-dir", str(tmp_path / "data"))
    run_command("workspace", "create", "Acme", *place)

    for where, sentence in (
        ((), "No server has said where its console is."),
        (("--console-url", "events.example.org"), "'events.example.org' is no address of a web server."),
    ):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            run_command("console", "link", "Acme", *where, *place)
        assert refused.value.returncode == 2
        assert sentence in refused.value.stderr
    link = run_command("console", "link", "Acme", "--console-url", "https://events.example.org/", *place)
    assert link.startswith("https://events.example.org/console/sign-in/")
