"""What the Live feeds of several processes tell each other, as short ASCII texts.

Three messages: somebody watches a workspace; its feed is to be forgotten (R32); lines of it. A line
carries its event as it was sent, which its reader translates as the channel does that it came by.
What does not fit is left out, which is said. What cannot be read was said by others, and means nothing.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from workevo_server.domain.events import ContactClaim, Install, ReceivedEvent
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.limits import ID_CODE_POINTS_MAX, NAME_CODE_POINTS_MAX
from workevo_server.domain.verdicts import (
    EventVerdict,
    EventWarning,
    MatchedIdentity,
    Reason,
    Refusal,
    Verdict,
    WarningCode,
)
from workevo_server.ports.live_relay import MESSAGE_CHARACTERS_MAX

UNPACKED_BYTES_MAX = 1024 * 1024
_WARNED_KEYS_MAX = 5
_CHUNK_BYTES = 8_000  # Uncompressed; texts repeat, so that as much fits where less is carried.
_ABOUT_BYTES = 600
_READ_ERRORS = (ValueError, KeyError, TypeError, AttributeError, binascii.Error, zlib.error, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One event and its answer, of whichever process."""

    answered_at_micros: int
    received_at_micros: int
    event: ReceivedEvent
    install: Install | None
    verdict: EventVerdict
    is_whole: bool = True
    """False when only its name and who did it could be told here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    workspace_id: WorkspaceId
    began: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    workspace_id: WorkspaceId
    at_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    by: str
    workspace_id: WorkspaceId
    answered: Sequence[Answered]
    left_out: bool


Message = Watching | Forgotten | Lines
EventReader = Callable[[int, bytes], ReceivedEvent]


def watching(speaker: str, workspace_id: WorkspaceId, began: int) -> str:
    return _packed({"by": speaker, "watch": workspace_id, "began": began})


def forgotten(speaker: str, workspace_id: WorkspaceId, at_micros: int) -> str:
    return _packed({"by": speaker, "forget": workspace_id, "at": at_micros})


def lines(
    speaker: str, workspace_id: WorkspaceId, answered: Sequence[Answered], *, left_out: bool
) -> Iterator[str]:
    """In as many messages as it takes, oldest first. What is too long even in short is left out."""
    for chunk in _chunks(answered):
        yield from _in_messages({"by": speaker, "lines": workspace_id, "left_out": left_out}, chunk)
        left_out = False


def _chunks(answered: Sequence[Answered]) -> Iterator[Sequence[Answered]]:
    """Of which each may fit, so that nothing large is packed to see that it is too large."""
    chunk: list[Answered] = []
    size = 0
    for line in answered:
        more = _ABOUT_BYTES + len(line.event.raw)
        if chunk and size + more > _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += more
    if chunk:
        yield chunk


def _in_messages(head: Mapping[str, Any], chunk: Sequence[Answered]) -> Iterator[str]:
    if len(chunk) > 1 or len(chunk[0].event.raw) <= _CHUNK_BYTES:
        packed = _packed({**head, "told": [_plain(each) for each in chunk]})
        if len(packed) <= MESSAGE_CHARACTERS_MAX:
            yield packed
            return
    if len(chunk) > 1:
        for line in chunk:
            yield from _in_messages(head, [line])
        return
    short = _packed({**head, "told": [_in_short(chunk[0])]})
    if len(short) <= MESSAGE_CHARACTERS_MAX:
        yield short


def read(
    message: str, *, speaker: str, read_event: EventReader, read_json_event: EventReader
) -> Message | None:
    """What another process said; None for one's own words, and for what is no message."""
    try:
        return _message(_unpacked(message), speaker, read_event, read_json_event)
    except _READ_ERRORS:
        return None


def _message(
    told: Any, speaker: str, read_event: EventReader, read_json_event: EventReader
) -> Message | None:
    if told["by"] == speaker:
        return None
    if "watch" in told:
        return Watching(workspace_id=WorkspaceId(str(told["watch"])), began=int(told["began"]))
    if "forget" in told:
        return Forgotten(workspace_id=WorkspaceId(str(told["forget"])), at_micros=int(told["at"]))
    return Lines(
        by=str(told["by"]),
        workspace_id=WorkspaceId(str(told["lines"])),
        answered=[_answered(each, read_event, read_json_event) for each in told["told"]],
        left_out=bool(told["left_out"]),
    )


def _packed(told: Mapping[str, Any]) -> str:
    """Compressed, as texts repeat, and in an alphabet that any database carries; NUL survives."""
    text = json.dumps(told, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), level=1)).decode()


def _unpacked(message: str) -> Any:
    """Raises one of `_READ_ERRORS`. Bounded, as anybody in the database may say something."""
    text = zlib.decompressobj().decompress(base64.b64decode(message, validate=True), UNPACKED_BYTES_MAX)
    return json.loads(text)


def _plain(line: Answered) -> dict[str, Any]:
    verdict, refusal, event = line.verdict, line.verdict.refusal, line.event
    delay = verdict.retry_delay
    return {
        "at": line.answered_at_micros,
        "received": line.received_at_micros,
        "raw": base64.b64encode(event.raw).decode(),
        "name": event.name[:NAME_CODE_POINTS_MAX],
        "user": _cut(event.contact.user_id),
        "visitor": _cut(event.contact.visitor_id),
        "install": _install_plain(line.install),
        "sequence": verdict.sequence,
        "verdict": verdict.verdict.value,
        "refusal": [refusal.reason.value, refusal.field, refusal.message] if refusal else None,
        "delay": delay.total_seconds() if delay is not None else None,
        "identity": verdict.identity.value if verdict.identity is not None else None,
        "warnings": [[each.code.value, each.fields[:_WARNED_KEYS_MAX]] for each in verdict.warnings],
    }


def _in_short(line: Answered) -> dict[str, Any]:
    """Without what may be long: five texts of 255 code points fit, whatever they are."""
    install = Install(install_id=line.install.install_id, epoch=line.install.epoch) if line.install else None
    short = replace(line, install=install, event=replace(line.event, raw=b""))
    warnings = [[each.code.value, ()] for each in line.verdict.warnings]
    return {**_plain(short), "raw": None, "warnings": warnings}


def _cut(text: str | None) -> str | None:
    return text[:ID_CODE_POINTS_MAX] if text is not None else None


def _install_plain(install: Install | None) -> dict[str, Any] | None:
    return {**asdict(install), "epoch": install.epoch.hex()} if install is not None else None


def _answered(told: Any, read_event: EventReader, read_json_event: EventReader) -> Answered:
    contact = ContactClaim(user_id=_text(told["user"]), visitor_id=_text(told["visitor"]))
    raw = base64.b64decode(told["raw"]) if told["raw"] is not None else b""
    reader = read_json_event if told["install"] is None else read_event
    event = reader(0, raw) if told["raw"] is not None else ReceivedEvent(index=0, sequence=0, raw=b"")
    return Answered(
        answered_at_micros=int(told["at"]),
        received_at_micros=int(told["received"]),
        event=replace(event, name=str(told["name"]), contact=contact),
        install=_install(told["install"]),
        verdict=_verdict(told),
        is_whole=told["raw"] is not None,
    )


def _install(told: Any) -> Install | None:
    if told is None:
        return None
    texts = {name: str(text) for name, text in told.items() if name not in {"install_id", "epoch"}}
    return Install(install_id=InstallId(str(told["install_id"])), epoch=bytes.fromhex(told["epoch"]), **texts)


def _verdict(told: Any) -> EventVerdict:
    refusal = told["refusal"]
    return EventVerdict(
        index=0,
        sequence=int(told["sequence"]),
        verdict=Verdict(told["verdict"]),
        refusal=Refusal(reason=Reason(refusal[0]), field=str(refusal[1]), message=str(refusal[2]))
        if refusal is not None
        else None,
        retry_delay=timedelta(seconds=told["delay"]) if told["delay"] is not None else None,
        identity=MatchedIdentity(told["identity"]) if told["identity"] is not None else None,
        warnings=tuple(
            EventWarning(code=WarningCode(code), fields=tuple(map(str, fields)))
            for code, fields in told["warnings"]
        ),
    )


def _text(told: Any) -> str | None:
    return None if told is None else str(told)
