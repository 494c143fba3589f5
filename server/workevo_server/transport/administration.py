"""The operator's commands on workspaces and keys, as named calls with JSON in and out.

The same code runs whether a server is up (through its control socket) or not (in
the command's own process).
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.ports.audit import AuditEntry, AuditReader
from workevo_server.ports.key_ring import KeyKind, KeyRecord, WorkspaceRecord
from workevo_server.ports.secret_store import IdentitySecret, UnverifiedUser
from workevo_server.services.identity_secrets import IdentitySecrets
from workevo_server.services.sessions import LINK_LASTS, Sessions
from workevo_server.services.workspaces import Workspaces, settings_text
from workevo_server.settings import AUDIT_ENTRIES_MAX

Json = dict[str, Any]


class Administration:
    def __init__(
        self,
        workspaces: Workspaces,
        identity_secrets: IdentitySecrets,
        sessions: Sessions,
        audit: AuditReader,
        *,
        console_url: str = "",
    ) -> None:
        """`console_url` is where the server that carries out the commands has its console, if one does."""
        self._workspaces = workspaces
        self._sessions = sessions
        self._console_url = console_url
        self._secrets = identity_secrets
        self._audit = audit
        self._commands: dict[str, Callable[[Mapping[str, Any]], Awaitable[Json]]] = {
            "workspace.create": self._create_workspace,
            "workspace.list": self._list_workspaces,
            "workspace.show": self._show_workspace,
            "workspace.set": self._set_workspace,
            "workspace.audit": self._audit_workspace,
            "key.create": self._create_key,
            "key.list": self._list_keys,
            "key.revoke": self._revoke_key,
            "console.link": self._link_console,
            "secret.create": self._create_secret,
            "secret.list": self._list_secrets,
            "secret.revoke": self._revoke_secret,
            "secret.report": self._report_unverified,
        }

    async def run(self, command: str, arguments: Mapping[str, Any]) -> Json:
        """Answer after what was changed is durable. Raises WorkevoError."""
        if command not in self._commands:
            raise RequestInvalid(FieldViolation("command", "The server knows no such command."))
        return await self._commands[command](arguments)

    async def _create_workspace(self, arguments: Mapping[str, Any]) -> Json:
        made = await self._workspaces.create(_text(arguments, "name"))
        keys = {f"{kind.value}_key": key for kind, key in made.keys.items()}
        return {"workspace_id": made.workspace.workspace_id, "app_id": made.workspace.app_id, **keys}

    async def _list_workspaces(self, _arguments: Mapping[str, Any]) -> Json:
        return {"workspaces": [_workspace(record) for record in await self._workspaces.list()]}

    async def _show_workspace(self, arguments: Mapping[str, Any]) -> Json:
        return _workspace(await self._find(arguments))

    async def _set_workspace(self, arguments: Mapping[str, Any]) -> Json:
        changes = arguments.get("settings")
        if not (isinstance(changes, dict) and all(isinstance(value, str) for value in changes.values())):
            raise _wrong("settings", "settings is an object of texts.")
        workspace = await self._find(arguments)
        settings = await self._workspaces.update_settings(workspace.workspace_id, changes)
        return {"workspace_id": workspace.workspace_id, "settings": dict(settings_text(settings))}

    async def _audit_workspace(self, arguments: Mapping[str, Any]) -> Json:
        count = arguments.get("count")
        if not (isinstance(count, int) and 1 <= count <= AUDIT_ENTRIES_MAX):
            raise _wrong("count", f"count is 1 to {AUDIT_ENTRIES_MAX}.")
        workspace = await self._find(arguments)
        entries = await self._audit.audit_entries(
            workspace.workspace_id, before_entry_no=None, count_max=count
        )
        return {"workspace_id": workspace.workspace_id, "entries": [_entry(entry) for entry in entries]}

    async def _create_key(self, arguments: Mapping[str, Any]) -> Json:
        kind = _kind(_text(arguments, "kind"))
        origins = _texts(arguments, "origins")
        workspace = await self._find(arguments)
        key = await self._workspaces.create_key(workspace.workspace_id, kind, origins=origins)
        return {"workspace_id": workspace.workspace_id, "kind": kind.value, "key": key}

    async def _list_keys(self, arguments: Mapping[str, Any]) -> Json:
        workspace = await self._find(arguments)
        keys = await self._workspaces.keys(workspace.workspace_id)
        return {"workspace_id": workspace.workspace_id, "keys": [_key(record) for record in keys]}

    async def _revoke_key(self, arguments: Mapping[str, Any]) -> Json:
        prefix = _text(arguments, "prefix")
        workspace = await self._find(arguments)
        await self._workspaces.revoke_key(workspace.workspace_id, prefix)
        return {"workspace_id": workspace.workspace_id, "revoked": prefix}

    async def _link_console(self, arguments: Mapping[str, Any]) -> Json:
        workspace = await self._find(arguments)
        token = self._sessions.make_link(workspace.workspace_id)
        return {
            "workspace_id": workspace.workspace_id,
            "console_url": self._console_url,
            "path": f"/sign-in/{token}",
            "minutes": LINK_LASTS // timedelta(minutes=1),
        }

    async def _create_secret(self, arguments: Mapping[str, Any]) -> Json:
        workspace = await self._find(arguments)
        made = await self._secrets.create(workspace.workspace_id)
        return {
            "workspace_id": workspace.workspace_id,
            "secret_id": made.secret_id,
            "secret": made.secret,
        }

    async def _list_secrets(self, arguments: Mapping[str, Any]) -> Json:
        workspace = await self._find(arguments)
        found = await self._secrets.list(workspace.workspace_id)
        return {"workspace_id": workspace.workspace_id, "secrets": [_secret(record) for record in found]}

    async def _revoke_secret(self, arguments: Mapping[str, Any]) -> Json:
        secret_id = _text(arguments, "secret_id")
        workspace = await self._find(arguments)
        await self._secrets.revoke(workspace.workspace_id, secret_id)
        return {"workspace_id": workspace.workspace_id, "revoked": secret_id}

    async def _report_unverified(self, arguments: Mapping[str, Any]) -> Json:
        workspace = await self._find(arguments)
        found = await self._secrets.report(workspace.workspace_id)
        return {
            "workspace_id": workspace.workspace_id,
            "identity_verification": workspace.settings.identity_verification.value,
            "claims": sum(user.claim_count for user in found),
            "users": [_unverified(user) for user in found if user.user_id],
            "beyond": sum(user.claim_count for user in found if not user.user_id),
        }

    async def _find(self, arguments: Mapping[str, Any]) -> WorkspaceRecord:
        return await self._workspaces.find(_text(arguments, "workspace"))


def _text(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value.isprintable():
        raise _wrong(name, f"{name} is a text without control characters.")
    return value


def _texts(arguments: Mapping[str, Any], name: str) -> list[str]:
    """None given is an empty list."""
    values = arguments.get(name, [])
    if not (isinstance(values, list) and all(isinstance(value, str) for value in values)):
        raise _wrong(name, f"{name} is a list of texts.")
    return values


def _kind(text: str) -> KeyKind:
    try:
        return KeyKind(text)
    except ValueError:
        raise _wrong("kind", f"kind is one of {', '.join(kind.value for kind in KeyKind)}.") from None


def _wrong(field: str, sentence: str) -> RequestInvalid:
    return RequestInvalid(FieldViolation(field, sentence))


def _workspace(record: WorkspaceRecord) -> Json:
    return {
        "workspace_id": record.workspace_id,
        "app_id": record.app_id,
        "name": record.name,
        "created_at": _iso(record.created_at_micros),
        "settings": dict(settings_text(record.settings)),
    }


def _entry(entry: AuditEntry) -> Json:
    return {
        "made_at": _iso(entry.author.made_at_micros),
        "made_by": entry.author.made_by,
        "action": entry.action,
        "subject": entry.subject,
        "old": entry.old,
        "new": entry.new,
    }


def _key(record: KeyRecord) -> Json:
    revoked_at = record.revoked_at_micros
    return {
        "prefix": record.prefix,
        "kind": record.kind.value,
        "created_at": _iso(record.created_at_micros),
        "revoked_at": None if revoked_at is None else _iso(revoked_at),
        "origins": list(record.origins),
    }


def _secret(record: IdentitySecret) -> Json:
    revoked_at = record.revoked_at_micros
    return {
        "secret_id": record.secret_id,
        "created_at": _iso(record.created_at_micros),
        "revoked_at": None if revoked_at is None else _iso(revoked_at),
    }


def _unverified(user: UnverifiedUser) -> Json:
    return {
        "user_id": user.user_id,
        "claims": user.claim_count,
        "first_at": _iso(user.first_at_micros),
        "last_at": _iso(user.last_at_micros),
    }


def _iso(micros: int) -> str:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).isoformat()
