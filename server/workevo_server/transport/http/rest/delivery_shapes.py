"""Of definitions, installs, ledgers and rejected events what `shapes` is of events and contacts."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from workevo_server.transport.http.rest.shapes import (
    Cursor,
    CursorPages,
    Description,
    Id,
    Moment,
    Name,
    PerPage,
    Role,
    Seconds,
)

# Event definitions


class DefinitionQuery(Struct):
    """Of one name where a name is given, else all of a state."""

    name: Name | UnsetType = UNSET
    state: Literal["active", "archived", "all"] | UnsetType = UNSET
    seen_kind: Annotated[Role | UnsetType, Meta(description="Only names that such a contact did.")] = UNSET
    per_page: PerPage | UnsetType = UNSET
    starting_after: Cursor | UnsetType = UNSET


class DefinitionChange(Struct):
    """What is given is changed."""

    name: Name
    description: Description | None = None
    archived: Annotated[bool | None, Meta(description="Out of use, with its past kept (R23).")] = None
    disabled: Annotated[bool | None, Meta(description="Devices are asked not to send it.")] = None


class EventDefinition(Struct):
    name: str
    display_name: str
    description: str
    archived_at: int | None
    disabled: bool
    stored_count: int
    duplicate_count: int
    archived_count: int
    dropped_archived_count: int
    dropped_disabled_count: int
    first_seen_at: Seconds
    last_seen_at: Seconds
    seen_kinds: list[Role]
    type: Literal["event_definition"] = "event_definition"


class DefinitionList(Struct):
    data: list[EventDefinition]
    pages: CursorPages
    type: Literal["list"] = "list"


# Delivery


class Balance(Struct):
    """generated = stored + duplicate + archived + rejected + dropped + open (R14).

    By reason both add up; those of queues that are not told one by one stand under UNSPECIFIED.
    """

    generated: int
    stored: int
    duplicate: int
    archived: int
    rejected: int
    dropped: int
    open: int
    resent: int
    erased: int
    expired: int
    rejected_by_reason: dict[str, int]
    dropped_by_reason: dict[str, int]


class Install(Struct):
    install_id: str
    platform: str
    app_version: str
    os_version: str
    sdk_name: str
    sdk_version: str
    locale: str
    time_zone: str
    first_seen_at: Seconds
    last_seen_at: Seconds
    epoch_count: int
    balance: Balance
    type: Literal["install"] = "install"


class InstallList(Struct):
    data: list[Install]
    pages: CursorPages
    type: Literal["list"] = "list"


class LedgerQuery(Struct):
    install_id: Id
    starting_after: Annotated[str | UnsetType, Meta(description="Of the page before, for older queues.")] = (
        UNSET
    )


class OutcomeRange(Struct):
    first_sequence: int
    last_sequence: int
    outcome: str
    reason: str | None


class EpochLedger(Struct):
    epoch: Annotated[str, Meta(description="In hexadecimal.")]
    balance: Balance
    settled_through: int
    applied_through: int
    ranges: list[OutcomeRange]
    ranges_truncated: bool


class Ledger(Struct):
    install_id: str
    balance: Balance
    epochs: Annotated[list[EpochLedger], Meta(description="Oldest first; of many the newest.")]
    pages: CursorPages
    type: Literal["ledger"] = "ledger"


class FailedEventQuery(Struct):
    """All that is given has to hold."""

    reason: str | UnsetType = UNSET
    event_name: Name | UnsetType = UNSET
    install_id: Id | UnsetType = UNSET
    received_from: Annotated[Moment | UnsetType, Meta(description="Unix seconds.")] = UNSET
    received_before: Annotated[Moment | UnsetType, Meta(description="Unix seconds.")] = UNSET
    per_page: PerPage | UnsetType = UNSET
    starting_after: Cursor | UnsetType = UNSET


class FailedEvent(Struct):
    id: str
    install_id: str | None
    """None when a back end sent it."""
    sequence: int | None
    reason: str
    field: str
    message: str
    received_at: Seconds
    event_name: str | None
    event: Annotated[str, Meta(description="As it was sent, in base64: JSON from a back end, else protobuf.")]
    type: Literal["failed_event"] = "failed_event"


class FailedEventList(Struct):
    data: list[FailedEvent]
    pages: CursorPages
    counts_by_reason: dict[str, int]
    """Of all that were asked for; on the first page."""
    unkept_count: int
    type: Literal["list"] = "list"


class Replay(Struct):
    """One event by its id, or a page of those that a filter means, oldest first."""

    id: str | None = None
    reason: str | None = None
    event_name: Name | None = None
    install_id: Id | None = None
    received_from: Moment | None = None
    received_before: Moment | None = None
    per_page: PerPage | None = None
    starting_after: str | None = None


class Replayed(Struct):
    id: str
    verdict: str
    reason: str | None
    field: str | None
    message: str | None


class ReplayAnswer(Struct):
    results: list[Replayed]
    pages: CursorPages
    type: Literal["replay"] = "replay"
