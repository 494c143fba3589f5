"""Workspaces, their settings and keys, for the operator (R31)."""

import enum
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from workevo_server.domain import limits
from workevo_server.domain.errors import FieldViolation, NotFound, RequestInvalid
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.origins import origin_of
from workevo_server.domain.workspace import (
    IdentityVerification,
    KeyCharset,
    SameInstallTwins,
    WorkspaceSettings,
)
from workevo_server.ports.audit import OPERATOR, Author
from workevo_server.ports.clock import Clock
from workevo_server.ports.key_ring import (
    FIRST_KEYS,
    KeyKind,
    KeyRecord,
    WorkspaceRecord,
    WorkspaceStore,
)

KEY_SECRET_BYTES = 32
KEY_PREFIX_CHARACTERS = 8
WORKSPACE_NAME_CODE_POINTS_MAX = 255
KEY_ORIGINS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWorkspace:
    workspace: WorkspaceRecord
    keys: Mapping[KeyKind, str]
    """The keys themselves, of each of `FIRST_KEYS`: shown now and never again."""


class Workspaces:
    """`random_text(bytes)` gives URL-safe text from that many random bytes; a test may seed it."""

    def __init__(
        self,
        *,
        store: WorkspaceStore,
        clock: Clock,
        random_text: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random_text = random_text

    async def create(self, name: str) -> NewWorkspace:
        """Make a workspace with its first keys. Raises RequestInvalid for a name that does not do."""
        name = name.strip()
        if not 1 <= len(name) <= WORKSPACE_NAME_CODE_POINTS_MAX:
            raise _wrong("name", f"A workspace name is 1 to {WORKSPACE_NAME_CODE_POINTS_MAX} characters.")
        workspace = WorkspaceRecord(
            workspace_id=WorkspaceId(f"ws_{self._random_text(12)}"),
            app_id=f"app_{self._random_text(12)}",
            name=name,
            created_at_micros=self._clock.now_micros(),
            settings=WorkspaceSettings(),
        )
        made = {kind: self._make_key(kind) for kind in FIRST_KEYS}
        await self._store.create_workspace(
            workspace, {_hash(key): record for key, record in made.values()}, author=self._author(OPERATOR)
        )
        return NewWorkspace(workspace=workspace, keys={kind: key for kind, (key, _) in made.items()})

    async def list(self) -> Sequence[WorkspaceRecord]:
        return await self._store.workspaces()

    async def find(self, name_or_id: str) -> WorkspaceRecord:
        """By id, or by name where only one has it. Raises NotFound or RequestInvalid."""
        found = [w for w in await self._store.workspaces() if name_or_id in {w.workspace_id, w.name}]
        if not found:
            raise NotFound("workspace", within="store", hint="`workevo workspace list` shows them.")
        if len(found) > 1:
            ids = ", ".join(workspace.workspace_id for workspace in found)
            raise _wrong("workspace", f"Several workspaces have this name; use one of the ids {ids}.")
        return found[0]

    async def update_settings(
        self, workspace_id: WorkspaceId, changes: Mapping[str, str], *, made_by: str = OPERATOR
    ) -> WorkspaceSettings:
        """Change settings by their names. Raises RequestInvalid and changes nothing when one is wrong."""
        read = {key: _read_setting(key, value) for key, value in changes.items()}
        return await self._store.update_settings(
            workspace_id, lambda settings: replace(settings, **read), author=self._author(made_by)
        )

    async def create_key(
        self,
        workspace_id: WorkspaceId,
        kind: KeyKind,
        *,
        origins: Sequence[str] = (),
        made_by: str = OPERATOR,
    ) -> str:
        """Make one more key; it is shown now and never again.

        `origins` are those whose pages a browser key serves. Raises NotFound, and
        RequestInvalid for an origin that is none or is given to another kind of key.
        """
        key, record = self._make_key(kind, _read_origins(kind, origins))
        await self._store.add_key(workspace_id, _hash(key), record, author=self._author(made_by))
        return key

    async def keys(self, workspace_id: WorkspaceId) -> Sequence[KeyRecord]:
        """All keys of the workspace by prefix, revoked ones included."""
        return await self._store.keys(workspace_id)

    async def revoke_key(self, workspace_id: WorkspaceId, prefix: str, *, made_by: str = OPERATOR) -> None:
        """From its return on the key opens nothing. Raises NotFound; revoking twice is harmless."""
        await self._store.revoke_key(workspace_id, prefix, author=self._author(made_by))

    def _author(self, made_by: str) -> Author:
        return Author(made_by=made_by, made_at_micros=self._clock.now_micros())

    def _make_key(self, kind: KeyKind, origins: tuple[str, ...] = ()) -> tuple[str, KeyRecord]:
        secret = self._random_text(KEY_SECRET_BYTES)
        key = f"wk_{kind.value}_{secret}"
        return key, KeyRecord(
            prefix=key[: len(key) - len(secret) + KEY_PREFIX_CHARACTERS],
            kind=kind,
            created_at_micros=self._clock.now_micros(),
            revoked_at_micros=None,
            origins=origins,
        )


def _read_origins(kind: KeyKind, told: Sequence[str]) -> tuple[str, ...]:
    if told and kind is not KeyKind.BROWSER:
        raise _wrong("origins", "Only a browser key has origins: the other kinds are not for web pages.")
    if len(told) > KEY_ORIGINS_MAX:
        raise _wrong("origins", f"A key has at most {KEY_ORIGINS_MAX} origins.")
    read = [origin_of(text) for text in told]
    origins = tuple(dict.fromkeys(origin for origin in read if origin is not None))
    if None in read:
        raise _wrong("origins", "An origin looks like https://example.org or http://localhost:3000.")
    return origins


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _wrong(field: str, sentence: str) -> RequestInvalid:
    return RequestInvalid(FieldViolation(field, sentence))


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return read


_DAY, _HOUR, _SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
_SWITCH = {"yes": True, "no": False}


def _times(unit: timedelta, low: int, high: timedelta) -> Callable[[str], timedelta]:
    """So many of a unit."""
    whole = _whole(low, high // unit)
    return lambda text: whole(text) * unit


def _retention(text: str) -> timedelta | None:
    return _times(_DAY, 0, limits.EVENT_RETENTION_MAX)(text) or None


def _switch(text: str) -> bool:
    if text not in _SWITCH:
        raise ValueError
    return _SWITCH[text]


_SETTINGS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "key_charset": (KeyCharset, "any or strict (R1)"),
    "metadata_keys_max": (
        _whole(0, limits.METADATA_KEYS_SETTING_MAX),
        f"0 to {limits.METADATA_KEYS_SETTING_MAX} keys an event (R4)",
    ),
    "product_identity_window": (
        _times(_HOUR, 0, limits.PRODUCT_IDENTITY_WINDOW_MAX),
        f"0 (off) to {limits.PRODUCT_IDENTITY_WINDOW_MAX // _HOUR} hours (R6)",
    ),
    "same_install_twins": (SameInstallTwins, "merge or keep (R6)"),
    "event_names_max": (_whole(1, 1_000_000), "1 to 1000000 active names (R10)"),
    "identity_verification": (IdentityVerification, "off, report or enforced: user_hash of users (R19)"),
    "create_unknown_users": (_switch, "yes or no: whether a back end's event makes its user (R18)"),
    "failed_events_age": (
        _times(_DAY, 1, limits.FAILED_EVENTS_AGE_MAX),
        f"1 to {limits.FAILED_EVENTS_AGE_MAX // _DAY} days that rejected events are kept (R13)",
    ),
    "failed_events_bytes_max": (
        _whole(0, limits.FAILED_EVENTS_BYTES_SETTING_MAX),
        f"0 to {limits.FAILED_EVENTS_BYTES_SETTING_MAX} bytes of rejected events (R13)",
    ),
    "event_retention": (
        _retention,
        f"0 (for ever) to {limits.EVENT_RETENTION_MAX // _DAY} days after receipt (R32)",
    ),
    "flush_event_count": (
        _whole(1, limits.UPLOAD_EVENTS_MAX),
        f"1 to {limits.UPLOAD_EVENTS_MAX} events that make a device upload (R23)",
    ),
    "flush_interval": (
        _times(_SECOND, 1, limits.FLUSH_INTERVAL_MAX),
        f"1 to {limits.FLUSH_INTERVAL_MAX // _SECOND} seconds that an event waits on a device (R23)",
    ),
    "rest_rate_limit": (
        _whole(1, limits.REST_RATE_LIMIT_SETTING_MAX),
        f"1 to {limits.REST_RATE_LIMIT_SETTING_MAX} requests of REST in 10 seconds (R29)",
    ),
}
"""How each setting is read from text, and the sentence that says what it may be."""


_CHOICES: Mapping[str, type[enum.Enum]] = {
    "key_charset": KeyCharset,
    "same_install_twins": SameInstallTwins,
    "identity_verification": IdentityVerification,
}


def settings_choices() -> Mapping[str, Sequence[str]]:
    """Of settings that are one of a few words, those."""
    words = {name: [each.value for each in kind] for name, kind in _CHOICES.items()}
    return {**words, "create_unknown_users": list(_SWITCH)}


def settings_help() -> Mapping[str, str]:
    """What each setting may be, by its name."""
    return {name: sentence for name, (_, sentence) in _SETTINGS.items()}


def settings_text(settings: WorkspaceSettings) -> Mapping[str, str]:
    """The settings as `update_settings` reads them."""
    return {
        "key_charset": settings.key_charset.value,
        "metadata_keys_max": str(settings.metadata_keys_max),
        "product_identity_window": str(settings.product_identity_window // _HOUR),
        "same_install_twins": settings.same_install_twins.value,
        "event_names_max": str(settings.event_names_max),
        "identity_verification": settings.identity_verification.value,
        "create_unknown_users": "yes" if settings.create_unknown_users else "no",
        "failed_events_age": str(settings.failed_events_age // _DAY),
        "failed_events_bytes_max": str(settings.failed_events_bytes_max),
        "event_retention": str((settings.event_retention or timedelta()) // _DAY),
        "flush_event_count": str(settings.flush_event_count),
        "flush_interval": str(settings.flush_interval // _SECOND),
        "rest_rate_limit": str(settings.rest_rate_limit),
    }


def _read_setting(name: str, text: str) -> Any:
    if name not in _SETTINGS:
        raise _wrong(name, f"There is no setting {name!r}. There are: {', '.join(_SETTINGS)}.")
    read, sentence = _SETTINGS[name]
    try:
        return read(text)
    except ValueError:
        raise _wrong(name, f"{name} is {sentence}.") from None
