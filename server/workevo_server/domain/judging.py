"""What can be said of each event of an upload alone, without any store.

The first of two steps; `admission.decide` is the second, and the store reads in
between what it will ask for.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from workevo_server.domain import contacts, limits, metadata, naming, timestamps
from workevo_server.domain.events import (
    ClockMethod,
    ClockReading,
    ContactClaim,
    Event,
    ProductIdentity,
    ReceivedEvent,
    Upload,
)
from workevo_server.domain.proofs import proven_users
from workevo_server.domain.verdicts import EventWarning, Reason, Refusal, WarningCode
from workevo_server.domain.workspace import WorkspaceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An event with what could be said of it without the store."""

    received: ReceivedEvent
    judged: Event | Refusal
    identity: ProductIdentity | None
    """R6's identity where it can be told, whatever else is wrong: R14a compares by it, and settings
    that make an event refused today must not make yesterday's look like another one."""
    claim: ContactClaim | None = None
    """Who is named, whatever else is wrong; None when nobody can be meant."""
    occurred_at_micros: int | None = None
    """When it occurred (R8), whatever else is wrong; None when it cannot be told."""
    verified: bool = False
    """With a valid proof that its user is meant, or by a secret key, which needs none (R19)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedUpload:
    upload: Upload
    settings: WorkspaceSettings
    candidates: tuple[Candidate, ...]


def judge_upload(
    upload: Upload, settings: WorkspaceSettings, *, secrets: Sequence[bytes] = ()
) -> JudgedUpload:
    """`secrets` are the workspace's identity secrets, by which proofs are judged (R19)."""
    proven = proven_users(upload.identity_proofs, secrets)
    return JudgedUpload(
        upload=upload,
        settings=settings,
        candidates=tuple(
            judge(event, upload=upload, settings=settings, proven=proven) for event in upload.events
        ),
    )


def judge(
    received: ReceivedEvent, *, upload: Upload, settings: WorkspaceSettings, proven: Set[str] = frozenset()
) -> Candidate:
    """Judge one event alone, so that a bad event never costs its neighbours."""
    claim = _claim_of(received)
    created_at = timestamps.created_at_of(received.created_at, received_at_micros=upload.received_at_micros)
    placement = None if isinstance(created_at, Refusal) else _place(created_at, received, upload)
    refusal = received.refusal or sequence_refusal(received.sequence)
    judged = refusal or _judge_fields(received, created_at, placement, settings)
    return Candidate(
        received=received,
        judged=judged,
        identity=judged.identity if isinstance(judged, Event) else _identity_of(received, claim, created_at),
        claim=claim,
        occurred_at_micros=placement.occurred_at_micros if placement is not None else None,
        verified=claim is not None and (upload.install is None or claim.user_id in proven),
    )


def sequence_refusal(sequence: int) -> Refusal | None:
    if 1 <= sequence <= limits.SEQUENCE_MAX:
        return None
    return Refusal(
        reason=Reason.SEQUENCE_INVALID,
        field="sequence",
        message=f"A sequence is 1 to {limits.SEQUENCE_MAX}.",
    )


def _claim_of(received: ReceivedEvent) -> ContactClaim | None:
    return received.contact if contacts.judge_claim(received.contact) is None else None


def _identity_of(
    received: ReceivedEvent, claim: ContactClaim | None, created_at: int | Refusal
) -> ProductIdentity | None:
    if claim is None or isinstance(created_at, Refusal):
        return None
    name_key = naming.comparable_key(received.name)
    if name_key is None:
        return None
    return ProductIdentity(claim, name_key, timestamps.identity_seconds(created_at))


def _place(created_at: int, received: ReceivedEvent, upload: Upload) -> timestamps.Placement:
    """A back end's clock is right, or its time was refused (R3): what it says is when it was (R8)."""
    if upload.install is None:
        return timestamps.Placement(occurred_at_micros=created_at, method=ClockMethod.DEVICE)
    return timestamps.place(
        created_at,
        event_clock=ClockReading(
            wall_micros=created_at, uptime_millis=received.uptime_millis, boot_id=received.boot_id
        ),
        send_clock=upload.send_clock,
        received_at_micros=upload.received_at_micros,
    )


def _judge_fields(
    received: ReceivedEvent,
    created_at: int | Refusal,
    placement: timestamps.Placement | None,
    settings: WorkspaceSettings,
) -> Event | Refusal:
    name = naming.judge_name(received.name, charset=settings.key_charset)
    if isinstance(name, Refusal):
        return name
    if isinstance(created_at, Refusal):
        return created_at
    no_contact = contacts.judge_claim(received.contact)
    if no_contact is not None:
        return no_contact
    admitted = metadata.admit(
        received.metadata, keys_max=settings.metadata_keys_max, charset=settings.key_charset
    )
    if isinstance(admitted, Refusal):
        return admitted
    assert placement is not None, "every event with a time has a place"
    return Event(
        index=received.index,
        sequence=received.sequence,
        identity=ProductIdentity(
            received.contact, naming.name_key(name), timestamps.identity_seconds(created_at)
        ),
        name=name,
        contact_kind=contacts.kind_of(received.contact),
        created_at_micros=created_at,
        occurred_at_micros=placement.occurred_at_micros,
        clock_method=placement.method,
        metadata=admitted.entries,
        warnings=_warnings(admitted.dropped_keys, placement),
    )


def _warnings(dropped_keys: Sequence[str], placement: timestamps.Placement) -> tuple[EventWarning, ...]:
    warnings: list[EventWarning] = []
    if dropped_keys:
        warnings.append(EventWarning(code=WarningCode.METADATA_KEYS_DROPPED, fields=tuple(dropped_keys)))
    if placement.warning is not None:
        warnings.append(placement.warning)
    return tuple(warnings)
