"""Requests and answers of REST as structures: read and written by msgspec, shown in OpenAPI.

What is said of a field here is what its page says. Answers have Intercom's names.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from workevo_server.domain import limits

Id = Annotated[str, Meta(min_length=1, max_length=limits.ID_CODE_POINTS_MAX)]
Text = Annotated[str, Meta(max_length=limits.METADATA_TEXT_CODE_POINTS_MAX)]
Name = Annotated[str, Meta(min_length=1, max_length=limits.NAME_CODE_POINTS_MAX)]
PerPage = Annotated[int, Meta(ge=1, le=limits.PAGE_SIZE_MAX, description="How many at most.")]
Cursor = Annotated[str, Meta(description="From the page before; opaque.")]
Seconds = Annotated[int, Meta(description="Unix time in seconds, UTC.")]
Milliseconds = Annotated[int, Meta(ge=0, le=limits.CREATED_AT_SECONDS_MAX * 1000)]
Description = Annotated[str, Meta(max_length=limits.DESCRIPTION_CODE_POINTS_MAX)]
Number = int | float
Moment = Annotated[int, Meta(ge=0, le=limits.CREATED_AT_SECONDS_MAX)]
Role = Literal["user", "lead", "visitor"]


class NewEvent(Struct):
    """Something that a contact did."""

    event_name: Name
    created_at: Annotated[
        Number | str | None,
        Meta(description="Unix time in UTC: seconds, milli-, micro- or nanoseconds by its size. Else: now."),
    ] = None
    user_id: Annotated[str | int | None, Meta(description="Who did it, by the id of your own.")] = None
    id: Annotated[str | int | None, Meta(description="Or by the contact's id here.")] = None
    email: Annotated[str | None, Meta(description="Or by the address of a user.")] = None
    metadata: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Up to 5 keys. Strings, numbers, booleans; dates under keys ending in _date or _at; "
            "{url, value}, {image}, {amount, currency}; stripe_invoice, stripe_customer, stripe_charge."
        ),
    ] = None


TimeTold = Annotated[Number | str | None, Meta(description="As an event's created_at.")]


class ToldCount(Struct):
    """How often the contact did something. Telling it again sets it anew, and 0 takes it back."""

    event_name: Name
    count: Annotated[int, Meta(ge=0, le=limits.TOLD_COUNT_MAX)]
    first: TimeTold = None
    """When it did so first; else as last."""
    last: TimeTold = None
    """When it did so last; else now."""


class ToldCounts(Struct):
    """Of one contact, named as in an event; all of them are kept or none."""

    event_summaries: (
        ToldCount | Annotated[list[ToldCount], Meta(min_length=1, max_length=limits.UPLOAD_EVENTS_MAX)]
    )
    user_id: str | int | None = None
    id: str | int | None = None
    email: str | None = None


class EventBatch(Struct):
    """At most 500 events, each as createEvent takes it, or one a line as NDJSON. Each is judged alone."""

    events: list[Any]


class EventWarning(Struct):
    code: str
    fields: list[str]


class EventResult(Struct):
    """What became of the event at `index`."""

    index: int
    verdict: str
    """ACCEPTED, DUPLICATE, ARCHIVED, REJECTED, or RETRY."""
    reason: str | None = None
    field: str | None = None
    message: str | None = None
    retriable: bool = False
    identity: str | None = None
    """By what a DUPLICATE was recognised."""
    warnings: list[EventWarning] = []


class BatchAnswer(Struct):
    accepted_count: int
    results: list[EventResult]
    """One for each event, in order."""
    type: Literal["event.batch"] = "event.batch"


class EventQuery(Struct):
    """Whose events: exactly one of the ids."""

    type: Annotated[Literal["user"] | UnsetType, Meta(description="Always user.")] = UNSET
    user_id: Id | UnsetType = UNSET
    intercom_user_id: Annotated[Id | UnsetType, Meta(description="The contact's id here.")] = UNSET
    email: Id | UnsetType = UNSET
    summary: Annotated[bool | UnsetType, Meta(description="Counts by name in place of events.")] = UNSET
    per_page: PerPage | UnsetType = UNSET
    before: Annotated[Milliseconds | UnsetType, Meta(description="Only what occurred before.")] = UNSET
    since: Annotated[Milliseconds | UnsetType, Meta(description="Only what occurred then or later.")] = UNSET
    cursor: Cursor | UnsetType = UNSET


class Event(Struct):
    id: str
    created_at: Seconds
    event_name: str
    user_id: str | None
    email: str | None
    intercom_user_id: str
    metadata: dict[str, Any]
    type: Literal["event"] = "event"


class EventPages(Struct):
    next: str | None = None
    """The next page's address; none on the last."""
    since: str | None = None
    """Where what comes later will be."""


class EventList(Struct):
    events: list[Event]
    pages: EventPages
    type: Literal["event.list"] = "event.list"


class SummarizedEvent(Struct):
    name: str
    first: str
    last: str
    count: int
    description: str | None


class EventSummary(Struct):
    events: list[SummarizedEvent]
    user_id: str | None
    email: str | None
    intercom_user_id: str
    pages: EventPages = msgspec.field(default_factory=EventPages)
    type: Literal["event.summary"] = "event.summary"


# Contacts


class NewContact(Struct):
    """A user has an external_id, an email or both; a lead may have neither."""

    role: Annotated[Literal["user", "lead"] | None, Meta(description="user unless said otherwise.")] = None
    external_id: Text | None = None
    email: Text | None = None
    name: Text | None = None
    phone: Text | None = None
    custom_attributes: dict[str, Any] | None = None


class Contact(Struct):
    id: str
    external_id: str | None
    role: Role
    email: str | None
    name: str | None
    phone: str | None
    created_at: Seconds
    visitor_ids: list[str]
    """By which the contact was known before it logged in, merged ones included."""
    custom_attributes: dict[str, Any]
    workspace_id: str
    type: Literal["contact"] = "contact"


class StartingAfter(Struct):
    per_page: int
    starting_after: str


class CursorPages(Struct):
    per_page: int
    next: StartingAfter | None = None
    """None on the last page."""
    type: Literal["pages"] = "pages"


class ContactList(Struct):
    data: list[Contact]
    pages: CursorPages
    total_count: int | UnsetType = UNSET
    """Told where it is known without counting: of contacts that were named, and where all are here."""
    type: Literal["list"] = "list"


class ListQuery(Struct):
    per_page: PerPage | UnsetType = UNSET
    starting_after: Cursor | UnsetType = UNSET


class ContactQuery(Struct):
    per_page: PerPage | UnsetType = UNSET
    starting_after: Cursor | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    email: Id | UnsetType = UNSET


class Paging(Struct):
    per_page: PerPage | None = None
    starting_after: str | None = None


class SearchFilter(Struct):
    """One condition, or several joined by AND or OR, which may be joined again."""

    operator: Literal["=", "!=", "IN", "NIN", "~", "!~", "AND", "OR"]
    field: Literal["id", "external_id", "email", "role"] | None = None
    value: Any = None
    """What is looked for; with IN and NIN a list of it, with AND and OR the list of conditions."""


class ContactSearch(Struct):
    query: SearchFilter
    pagination: Paging | None = None


class Deletion(Struct):
    """With suppress nothing is taken of the contact any more."""

    suppress: bool = False


class DeletedContact(Struct):
    id: str
    external_id: str | None
    deleted: bool = True
    type: Literal["contact"] = "contact"


class ContactMerge(Struct):
    """`from` becomes part of `into`, each by its id here."""

    source: Id = msgspec.field(name="from")
    into: Id = msgspec.field()


class VisitorNamed(Struct):
    id: Id | None = None
    user_id: Annotated[Id | None, Meta(description="The visitor's own id.")] = None


class UserNamed(Struct):
    id: Id | None = None
    user_id: Id | None = None
    email: str | None = None


class VisitorConversion(Struct):
    """The visitor has logged in, or as a lead contacted you."""

    type: Literal["user", "lead"]
    visitor: VisitorNamed
    user: UserNamed | None = None


class VisitorQuery(Struct):
    user_id: Id
