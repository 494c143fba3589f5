"""Events and uploads with all that a test does not care about filled in."""

from collections.abc import Sequence
from fractions import Fraction

from workevo_server.domain import limits
from workevo_server.domain.events import (
    ClockReading,
    ContactClaim,
    DroppedRange,
    Install,
    JsonTime,
    ReceivedEvent,
    Upload,
    WireTime,
)
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.told_counts import ToldCount

PHONE = Install(install_id=InstallId("phone"), epoch=b"e" * limits.EPOCH_BYTES)


def user(user_id: str) -> ContactClaim:
    return ContactClaim(user_id=user_id)


def visitor(visitor_id: str) -> ContactClaim:
    return ContactClaim(visitor_id=visitor_id)


def wire_time(seconds: float | str) -> WireTime:
    exact = Fraction(str(seconds))
    whole = exact.numerator // exact.denominator
    return WireTime(seconds=whole, nanos=int((exact - whole) * 1_000_000_000))


def good_event(
    index: int, sequence: int, contact: ContactClaim, name: str, created_at: float | str
) -> ReceivedEvent:
    return ReceivedEvent(
        index=index,
        sequence=sequence,
        raw=b"as sent",
        name=name,
        contact=contact,
        created_at=wire_time(created_at),
    )


def back_end_event(
    index: int, contact: ContactClaim, name: str, created_at: object = None, raw: bytes = b"{}"
) -> ReceivedEvent:
    """One that a back end sends: without clocks or a sequence of its own."""
    return ReceivedEvent(
        index=index,
        sequence=index + 1,
        raw=raw,
        name=name,
        contact=contact,
        created_at=JsonTime(created_at),
    )


def told_count(name: str, count: object, first: object = None, last: object = None) -> ToldCount:
    """As a back end tells it (R29)."""
    return ToldCount(name=name, count=count, first=JsonTime(first), last=JsonTime(last))


def bad_event(index: int, sequence: int) -> ReceivedEvent:
    """One that is REJECTED, for its empty name."""
    return good_event(index, sequence, user("u1"), "", 1)


def upload(
    workspace_id: WorkspaceId,
    events: Sequence[ReceivedEvent] = (),
    *,
    install: Install | None = PHONE,
    at_seconds: int = 1_000_000,
    last_sequence: int = 0,
    applied_through: int = 0,
    dropped: Sequence[DroppedRange] = (),
) -> Upload:
    return Upload(
        workspace_id=workspace_id,
        upload_id="",
        install=install,
        received_at_micros=at_seconds * 1_000_000,
        send_clock=ClockReading(),
        events=tuple(events),
        last_sequence=last_sequence,
        applied_through=applied_through,
        dropped=tuple(dropped),
    )
