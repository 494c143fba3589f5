"""An event of a back end from JSON into the domain; nothing is judged here but its shape."""

from collections.abc import Iterable, Set
from dataclasses import replace

from workevo_server.domain.events import ContactClaim, JsonTime, ReceivedEvent
from workevo_server.domain.limits import EVENT_BYTES_MAX
from workevo_server.domain.metadata import MetadataItem, value_from_json
from workevo_server.domain.verdicts import Reason, Refusal
from workevo_server.transport.http.rest.json_reader import JsonInvalid, JsonObject, read_json

_IDS = frozenset({"user_id", "id", "email"})
_ONCE = frozenset({"event_name", "created_at", "metadata"}) | _IDS
_TOO_LARGE = Refusal(
    reason=Reason.EVENT_TOO_LARGE,
    message=f"An event has at most {EVENT_BYTES_MAX} bytes.",
)


class Misshapen(Exception):
    """The JSON is no such thing; carries why as EVENT_MALFORMED, with the member at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field)
        self.refusal = Refusal(reason=Reason.EVENT_MALFORMED, field=field, message=message)


def event_from_json(index: int, raw: bytes) -> ReceivedEvent:
    """Read one event; one that cannot be read comes back with its refusal, and with whom it names and when
    it was where these could be read all the same, so that a deletion finds it (R32)."""
    if len(raw) > EVENT_BYTES_MAX:
        return _unread(index, raw, _TOO_LARGE)
    try:
        told = read_json(raw)
    except JsonInvalid as error:
        message = f"The event is no JSON object. {error}"
        return _unread(index, raw, Refusal(reason=Reason.EVENT_MALFORMED, message=message))
    try:
        return _event(index, raw, members_of(told, _ONCE, "An event is a JSON object."))
    except Misshapen as error:
        unread = _unread(index, raw, error.refusal)
        return replace(unread, contact=_named(told), created_at=_moment(told))


def _unread(index: int, raw: bytes, refusal: Refusal) -> ReceivedEvent:
    return ReceivedEvent(index=index, sequence=index + 1, raw=raw, refusal=refusal)


def _named(told: object) -> ContactClaim:
    """Whom a misshapen event names; nobody where one of its ids is misshapen, or stands there twice."""
    try:
        return contact_of(members_of(told, _IDS, ""))
    except Misshapen:
        return ContactClaim()


def _moment(told: object) -> JsonTime | None:
    """When a misshapen event was; None, which is never, where that is not said once."""
    try:
        return JsonTime(members_of(told, {"created_at"}, "").get("created_at"))
    except Misshapen:
        return None


def _event(index: int, raw: bytes, members: dict[str, object]) -> ReceivedEvent:
    return ReceivedEvent(
        index=index,
        sequence=index + 1,
        raw=raw,
        name=text_of(members, "event_name") or "",
        created_at=JsonTime(members.get("created_at")),
        contact=contact_of(members),
        metadata=_metadata(members.get("metadata")),
    )


def members_of(value: object, once: Set[str], otherwise: str) -> dict[str, object]:
    """Of what stands twice nobody knows which is meant; only in metadata has R4 an answer.

    Raises Misshapen, for what is no object with the sentence `otherwise`.
    """
    if not isinstance(value, JsonObject):
        raise Misshapen("", otherwise)
    names = [name for name, _ in value.members if name in once]
    for name in names:
        if names.count(name) > 1:
            raise Misshapen(name, f"{name} stands there twice.")
    return value.as_dict()


def contact_of(members: dict[str, object]) -> ContactClaim:
    """By the first of the ids that is given: a client that knows several may send them all."""
    user_id = _id(members, "user_id")
    if user_id is not None:
        return ContactClaim(user_id=user_id)
    contact_id = _id(members, "id")
    if contact_id is not None:
        return ContactClaim(contact_id=contact_id)
    email = text_of(members, "email")
    return ContactClaim(email=email.strip().lower()) if email is not None else ContactClaim()


def _id(members: dict[str, object], name: str) -> str | None:
    """A back end whose ids are numbers may send them so."""
    value = members.get(name)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text_of(members, name)


def text_of(members: dict[str, object], name: str) -> str | None:
    value = members.get(name)
    if value is None or isinstance(value, str):
        return value
    raise Misshapen(name, f"{name} is a string.")


def _metadata(value: object) -> tuple[MetadataItem, ...]:
    if value is None:
        return ()
    if not isinstance(value, JsonObject):
        raise Misshapen("metadata", "metadata is an object of at most a few keys.")
    return metadata_items(value.members)


def metadata_items(members: Iterable[tuple[str, object]]) -> tuple[MetadataItem, ...]:
    return tuple(MetadataItem(key, value_from_json(key, _plain(value))) for key, value in members)


def _plain(value: object) -> object:
    """Objects one level deep are types of R5; deeper ones stay what they are, which is none."""
    return value.as_dict() if isinstance(value, JsonObject) else value
