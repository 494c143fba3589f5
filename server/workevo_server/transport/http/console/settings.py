"""Keys, limits, proofs of identity, and who changed what: what an admin of a workspace manages (R31)."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import RedirectResponse, Response

from workevo_server.domain.errors import RequestInvalid
from workevo_server.ports.audit import AuditReader
from workevo_server.ports.key_ring import KeyKind, KeyRing
from workevo_server.ports.sessions import Role
from workevo_server.services.identity_secrets import IdentitySecrets
from workevo_server.services.workspaces import Workspaces, settings_choices, settings_help, settings_text
from workevo_server.transport.http.console.pages import CONSOLE_PATH, ConsoleCall, Page
from workevo_server.transport.http.console.proof_snippets import proof_snippets
from workevo_server.transport.http.console.rendering import Templates

_PATH = f"{CONSOLE_PATH}/settings"
AUDIT_PAGE_ENTRIES = 50
_ENTRY_DIGITS_MAX = 18
_SAID = {
    "saved": "Saved. It applies from the next upload on.",
    "key-revoked": "Revoked. The key opens nothing any more.",
    "secret-revoked": "Revoked. The secret proves nothing any more.",
}
"""What a page says after something was done, by the word in its address."""
_PURPOSES: Mapping[KeyKind, str] = {
    KeyKind.SDK: "in a mobile app. Public: it writes events.",
    KeyKind.BROWSER: "for web pages of its origins. Public: it writes events.",
    KeyKind.SERVER: "on your servers. Secret: it reads and writes.",
    KeyKind.ADMIN: "for operators. Secret: it manages the workspace and signs in here.",
    KeyKind.SUPPORT: "for people. Secret: it signs in here, describes and archives events.",
    KeyKind.VIEWER: "for people. Secret: it signs in here and reads.",
}


class SettingsPages:
    def __init__(
        self,
        *,
        workspaces: Workspaces,
        identity_secrets: IdentitySecrets,
        audit: AuditReader,
        key_ring: KeyRing,
        templates: Templates,
    ) -> None:
        self._workspaces = workspaces
        self._secrets = identity_secrets
        self._audit = audit
        self._key_ring = key_ring
        self._templates = templates

    def pages(self) -> list[Page]:
        admin = Role.ADMIN
        return [
            Page(name="settings", path="/settings", needs=admin, answer=self._settings),
            Page(name="change_settings", path="/settings", method="POST", needs=admin, answer=self._change),
            Page(name="keys", path="/settings/keys", needs=admin, answer=self._keys),
            Page(name="make_key", path="/settings/keys", method="POST", needs=admin, answer=self._make_key),
            Page(
                name="revoke_key",
                path="/settings/keys/revoke",
                method="POST",
                needs=admin,
                answer=self._revoke_key,
            ),
            Page(name="identity", path="/settings/identity", needs=admin, answer=self._identity),
            Page(
                name="make_secret",
                path="/settings/identity",
                method="POST",
                needs=admin,
                answer=self._make_secret,
            ),
            Page(
                name="revoke_secret",
                path="/settings/identity/revoke",
                method="POST",
                needs=admin,
                answer=self._revoke_secret,
            ),
            Page(name="audit", path="/settings/audit", needs=admin, answer=self._entries),
        ]

    async def _settings(self, call: ConsoleCall) -> Response:
        return self._settings_page(call, settings_text(self._key_ring.settings(call.workspace_id)))

    def _settings_page(
        self, call: ConsoleCall, values: Mapping[str, str], wrong: Mapping[str, str] | None = None
    ) -> Response:
        context = {
            "values": values,
            "help": settings_help(),
            "choices": settings_choices(),
            "wrong": wrong or {},
            "said": _said(call),
        }
        return self._templates.page(call, "settings.html", context, status=422 if wrong else 200)

    async def _change(self, call: ConsoleCall) -> Response:
        """Only what differs is changed, so that the audit names nothing else."""
        now = settings_text(self._key_ring.settings(call.workspace_id))
        given = {name: call.form[name].strip() for name in now if name in call.form}
        changes = {name: value for name, value in given.items() if value != now[name]}
        try:
            await self._workspaces.update_settings(call.workspace_id, changes, made_by=call.session.made_by)
        except RequestInvalid as error:
            return self._settings_page(call, {**now, **given}, _by_field(error))
        return RedirectResponse(f"{_PATH}?said=saved", status_code=303)

    async def _keys(self, call: ConsoleCall) -> Response:
        return await self._keys_page(call)

    async def _keys_page(
        self, call: ConsoleCall, *, made: str = "", kind: KeyKind = KeyKind.SDK, wrong: str = ""
    ) -> Response:
        """`made` is a new key, in the answer to the form that asked for it and nowhere else."""
        keys = await self._workspaces.keys(call.workspace_id)
        context = {
            "keys": sorted(keys, key=lambda key: key.revoked_at_micros is not None),
            "made": made,
            "kind": kind,
            "purposes": _PURPOSES,
            "origins": call.form.get("origins", "") if wrong else "",
            "wrong": wrong,
            "said": _said(call),
        }
        return self._templates.page(call, "settings_keys.html", context, status=422 if wrong else 200)

    async def _make_key(self, call: ConsoleCall) -> Response:
        try:
            kind = KeyKind(call.form.get("kind", ""))
        except ValueError:
            return await self._keys_page(call, wrong="Choose a kind of key.")
        try:
            made = await self._workspaces.create_key(
                call.workspace_id,
                kind,
                origins=call.form.get("origins", "").split(),
                made_by=call.session.made_by,
            )
        except RequestInvalid as error:
            return await self._keys_page(call, kind=kind, wrong=error.sentence)
        return await self._keys_page(call, made=made, kind=kind)

    async def _revoke_key(self, call: ConsoleCall) -> Response:
        await self._workspaces.revoke_key(
            call.workspace_id, call.form.get("prefix", ""), made_by=call.session.made_by
        )
        return RedirectResponse(f"{_PATH}/keys?said=key-revoked", status_code=303)

    async def _identity(self, call: ConsoleCall) -> Response:
        return await self._identity_page(call)

    async def _identity_page(self, call: ConsoleCall, *, made: str = "", wrong: str = "") -> Response:
        unverified = await self._secrets.report(call.workspace_id)
        context = {
            "verification": self._key_ring.settings(call.workspace_id).identity_verification,
            "secrets": await self._secrets.list(call.workspace_id),
            "made": made,
            "wrong": wrong,
            "unverified": unverified,
            "snippets": proof_snippets(made or "THE SECRET"),
            "said": _said(call),
        }
        return self._templates.page(call, "settings_identity.html", context, status=422 if wrong else 200)

    async def _make_secret(self, call: ConsoleCall) -> Response:
        try:
            made = await self._secrets.create(call.workspace_id, made_by=call.session.made_by)
        except RequestInvalid as error:
            return await self._identity_page(call, wrong=error.sentence)
        return await self._identity_page(call, made=made.secret)

    async def _revoke_secret(self, call: ConsoleCall) -> Response:
        await self._secrets.revoke(
            call.workspace_id, call.form.get("secret_id", ""), made_by=call.session.made_by
        )
        return RedirectResponse(f"{_PATH}/identity?said=secret-revoked", status_code=303)

    async def _entries(self, call: ConsoleCall) -> Response:
        before = call.query.get("before", "")
        entries = await self._audit.audit_entries(
            call.workspace_id,
            before_entry_no=int(before) if _is_number(before) else None,
            count_max=AUDIT_PAGE_ENTRIES + 1,
        )
        page, more = entries[:AUDIT_PAGE_ENTRIES], len(entries) > AUDIT_PAGE_ENTRIES
        context: dict[str, Any] = {"entries": page, "before": page[-1].entry_no if more else None}
        template = "settings_audit_rows.html" if call.wants_part else "settings_audit.html"
        return self._templates.page(call, template, context)


def _said(call: ConsoleCall) -> str:
    return _SAID.get(call.query.get("said", ""), "")


def _by_field(error: RequestInvalid) -> Mapping[str, str]:
    return {violation.field: violation.sentence for violation in error.violations}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _ENTRY_DIGITS_MAX
