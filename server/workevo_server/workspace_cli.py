"""`workevo workspace`, `key`, `secret`, `console`: what an operator does to tenants, wherever they are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workevo_server import settings as options
from workevo_server.terminal import (
    FAILED,
    MISUSED,
    command_group,
    fail,
    place_of,
    print_json,
    print_line,
    print_rows,
)

if TYPE_CHECKING:
    from sqlalchemy import URL

workspace_app = command_group("Tenants: everything belongs to exactly one.")
key_app = command_group("Keys of a workspace. Shown once, stored hashed.")
console_app = command_group("The pages where people see events.")
secret_app = command_group("Identity secrets of a workspace, by which its users prove who they are (R19).")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Workspace = Annotated[str, typer.Argument(help="Id of the workspace, or its name where only one has it.")]

FIRST_KEY_PURPOSES = {
    "sdk": "in a mobile app; public: it writes events",
    "browser": "for web pages; public: one made with --origin serves the pages of that origin",
    "server": "on your servers; secret: it reads and writes",
    "admin": "for operators; secret: it manages the workspace, and signs in to the console",
}
KEY_PURPOSES = FIRST_KEY_PURPOSES | {
    "support": "for people; secret: signs in to the console, where it describes and archives events",
    "viewer": "for people; secret: signs in to the console, where it reads",
}


@workspace_app.command("create")
def create_workspace(
    name: Annotated[str, typer.Argument(help="What people call it, 1 to 255 characters.")],
    data_dir: options.DataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Make a workspace with its first keys. The keys are shown now and never again."""
    made = _administer(place_of(data_dir, store), "workspace.create", {"name": name}, may_make=True)
    if as_json:
        print_json(made)
        return
    names = [("workspace_id", made["workspace_id"], ""), ("app_id", made["app_id"], "")]
    keys = [(f"{kind}_key", made[f"{kind}_key"], purpose) for kind, purpose in FIRST_KEY_PURPOSES.items()]
    print_rows([*names, *keys])
    print_line("This browser key serves no page yet, as it has no origin. Make one for the pages of yours:")
    print_line(f"  workevo key create {made['workspace_id']} browser --origin https://example.org")


@workspace_app.command("list")
def list_workspaces(
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """All workspaces, oldest first."""
    found = _administer(place_of(data_dir, store), "workspace.list", {})
    if as_json:
        print_json(found)
        return
    print_rows([(each["workspace_id"], each["created_at"], each["name"]) for each in found["workspaces"]])


@workspace_app.command("show")
def show_workspace(
    workspace: Workspace,
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """A workspace and its settings."""
    shown = _administer(place_of(data_dir, store), "workspace.show", {"workspace": workspace})
    if as_json:
        print_json(shown)
        return
    print_rows([(name, shown[name], "") for name in ("workspace_id", "app_id", "name", "created_at")])
    _print_settings(shown["settings"])


@workspace_app.command("set")
def set_workspace(
    workspace: Workspace,
    changes: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE...", help="Settings as `show` names them.")
    ],
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Change settings of a workspace. They apply from the next upload on."""
    arguments = {"workspace": workspace, "settings": dict(_change(text) for text in changes)}
    changed = _administer(place_of(data_dir, store), "workspace.set", arguments)
    if as_json:
        print_json(changed)
        return
    _print_settings(changed["settings"])


@workspace_app.command("audit")
def audit_workspace(
    workspace: Workspace,
    count: Annotated[
        int, typer.Option(min=1, max=options.AUDIT_ENTRIES_MAX, help="How many entries, the newest.")
    ] = 100,
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Who changed what of a workspace, and when, newest first."""
    found = _administer(
        place_of(data_dir, store), "workspace.audit", {"workspace": workspace, "count": count}
    )
    if as_json:
        print_json(found)
        return
    for entry in found["entries"]:
        values = [f"{name}={entry[name]}" for name in ("old", "new") if entry[name] is not None]
        subject = entry["subject"] if entry["subject"].isprintable() else json.dumps(entry["subject"])
        told = [entry["made_at"], entry["made_by"], entry["action"], subject, *values]
        print_line("  ".join(told))


@key_app.command("create")
def create_key(
    workspace: Workspace,
    kind: Annotated[str, typer.Argument(help="sdk, browser, server, admin, support or viewer.")],
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Whose pages a browser key serves, for example https://example.org; give each one. "
            "Without any it serves no page.",
        ),
    ] = None,
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Make one more key. It is shown now and never again."""
    arguments = {"workspace": workspace, "kind": kind, "origins": origin or []}
    made = _administer(place_of(data_dir, store), "key.create", arguments)
    if as_json:
        print_json(made)
        return
    print_rows([(f"{made['kind']}_key", made["key"], KEY_PURPOSES[made["kind"]])])


@key_app.command("list")
def list_keys(
    workspace: Workspace,
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """The keys of a workspace by their prefixes, revoked ones included."""
    found = _administer(place_of(data_dir, store), "key.list", {"workspace": workspace})
    if as_json:
        print_json(found)
        return
    print_rows([(key["prefix"], key["created_at"], _about_key(key)) for key in found["keys"]])


@key_app.command("revoke")
def revoke_key(
    workspace: Workspace,
    prefix: Annotated[str, typer.Argument(help="As `key list` shows it.")],
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """End a key. When this returns it opens nothing."""
    revoked = _administer(place_of(data_dir, store), "key.revoke", {"workspace": workspace, "prefix": prefix})
    if as_json:
        print_json(revoked)
        return
    print_rows([("revoked", revoked["revoked"], "")])


@console_app.command("link")
def link_console(
    workspace: Workspace,
    console_url: options.ConsoleUrl = None,
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Make a link that signs in to the console as admin, once, within a quarter of an hour.

    A running server on a data directory says where its console is. One on a PostgreSQL is not asked, so that
    --console-url has to say it.
    """
    made = _administer(place_of(data_dir, store), "console.link", {"workspace": workspace})
    url = _console_url(console_url, made["console_url"]) + made["path"]
    if as_json:
        print_json({"workspace_id": made["workspace_id"], "url": url, "minutes": made["minutes"]})
        return
    print_line(url)


@secret_app.command("create")
def create_secret(
    workspace: Workspace,
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Make one more identity secret, for your own servers. It is shown now and never again.

    user_hash = HMAC-SHA256(secret, user_id) in lower-case hexadecimal
    """
    made = _administer(place_of(data_dir, store), "secret.create", {"workspace": workspace})
    if as_json:
        print_json(made)
        return
    print_rows([("secret_id", made["secret_id"], ""), ("secret", made["secret"], "on your servers; secret")])


@secret_app.command("list")
def list_secrets(
    workspace: Workspace,
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """The identity secrets of a workspace by name, revoked ones included."""
    found = _administer(place_of(data_dir, store), "secret.list", {"workspace": workspace})
    if as_json:
        print_json(found)
        return
    print_rows(
        [
            (
                each["secret_id"],
                each["created_at"],
                f"revoked {each['revoked_at']}" if each["revoked_at"] else "",
            )
            for each in found["secrets"]
        ]
    )


@secret_app.command("revoke")
def revoke_secret(
    workspace: Workspace,
    secret_id: Annotated[str, typer.Argument(help="As `secret list` shows it.")],
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """End an identity secret. When this returns it proves nothing."""
    revoked = _administer(
        place_of(data_dir, store), "secret.revoke", {"workspace": workspace, "secret_id": secret_id}
    )
    if as_json:
        print_json(revoked)
        return
    print_rows([("revoked", revoked["revoked"], "")])


@secret_app.command("report")
def report_unverified(
    workspace: Workspace,
    data_dir: options.KnownDataDir = options.DATA_DIR_DEFAULT,
    store: options.Store = None,
    as_json: AsJson = False,
) -> None:
    """Who claimed to be a user without a valid proof, while proofs are reported or enforced."""
    found = _administer(place_of(data_dir, store), "secret.report", {"workspace": workspace})
    if as_json:
        print_json(found)
        return
    print_rows([(each["user_id"], str(each["claims"]), f"last {each['last_at']}") for each in found["users"]])
    if found["beyond"]:
        print_line(f"and {found['beyond']} claims of further users")


def _administer(
    place: "Path | URL", command: str, arguments: Mapping[str, Any], *, may_make: bool = False
) -> dict[str, Any]:
    from workevo_server.commands import carry_out

    if isinstance(place, Path) and not (may_make or place.is_dir()):
        fail(f"There is no data directory {place}. Make a workspace first, or give --data-dir.", FAILED)
    return carry_out(place, command, arguments)


def _console_url(told: str | None, known: str) -> str:
    """As told here, or as `known` by the server that was asked; empty where none was, or has no HTTP port."""
    from workevo_server.transport.address import AddressInvalid, web_address
    from workevo_server.transport.http.console.pages import CONSOLE_PATH

    if told is None and not known:
        fail(
            "No server has said where its console is. Give --console-url, for example "
            f"http://{options.HTTP_DEFAULT}; without an HTTP port (--http) it has none.",
            MISUSED,
        )
    try:
        return known if told is None else web_address(told) + CONSOLE_PATH
    except AddressInvalid as error:
        fail(str(error), MISUSED)


def _change(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        fail(f"{text!r} is no change. Give KEY=VALUE, for example metadata_keys_max=10.", MISUSED)
    return key, value


def _about_key(key: Mapping[str, Any]) -> str:
    revoked = [f"revoked {key['revoked_at']}"] if key["revoked_at"] else []
    return " ".join([*key["origins"], *revoked])


def _print_settings(values: Mapping[str, str]) -> None:
    from workevo_server.services.workspaces import settings_help

    sentences = settings_help()
    print_rows([(name, value, sentences.get(name, "")) for name, value in values.items()])
