"""What a search of contacts asks for: conditions joined by AND and OR, of which not all can be answered.

Whoever an id or an address names is looked up, a few at most; whoever a role means is
listed, with those left out whom `!=`, `NIN` and `!~` leave out. A query that could only
be answered by looking through everybody for the few who fit is refused.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import msgspec

from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.events import ContactKind
from workevo_server.ports.people import Contact, ContactRef
from workevo_server.transport.http.rest import shapes
from workevo_server.transport.http.rest.contact_codec import (
    email_of,
    email_ref,
    is_id,
    kind_of_role,
    ref_of_id,
    role_of,
    user_ref,
    visitor_ref,
)

CONDITIONS_MAX = 15  # Of one AND or OR, as Intercom's API has it.
DEPTH_MAX = 2  # A group within a group, likewise.
VALUES_MAX = 50  # Each is looked up by itself.

_ALL = frozenset(ContactKind)
_NEGATED = {"!=": "=", "NIN": "IN", "!~": "~"}


@dataclass(frozen=True, slots=True)
class Condition:
    field: str
    operator: str
    """One that is not negated: =, IN or ~."""
    values: tuple[str, ...]
    """As contacts have them: addresses in lower case."""
    negated: bool

    def holds(self, contact: Contact) -> bool:
        told = _TOLD[self.field](contact)
        if self.operator == "~":
            (wanted,) = self.values
            fits = any(wanted.casefold() in each.casefold() for each in told)
        else:
            fits = not told.isdisjoint(self.values)
        return fits is not self.negated

    def ids(self) -> frozenset[str]:
        """Our own, that are mentioned."""
        return frozenset(self.values) if self.field == "id" and self.operator != "~" else frozenset()

    def with_ids(self, ids: Mapping[str, str]) -> "Condition":
        """With each id that was merged as the one it was merged into (R16)."""
        return (
            replace(self, values=tuple(ids.get(each, each) for each in self.values)) if self.ids() else self
        )

    def value_count(self) -> int:
        return len(self.values)

    def names(self) -> frozenset[ContactRef] | None:
        """By which whoever it means is named; None when it names nobody."""
        if self.negated or self.operator == "~" or self.field == "role":
            return None
        return frozenset(ref for value in self.values for ref in _REFS[self.field](value))

    def kinds(self) -> Set[ContactKind]:
        """Of which whoever it means is."""
        if self.field != "role":
            return _ALL
        meant = frozenset(kind_of_role(value) for value in self.values)
        return _ALL - meant if self.negated else meant

    def is_listed(self) -> bool:
        """Whether most whom `kinds` means are meant."""
        return self.negated or self.field == "role"


@dataclass(frozen=True, slots=True)
class Group:
    joined_by: str
    parts: tuple["Condition | Group", ...]

    def holds(self, contact: Contact) -> bool:
        fits = (part.holds(contact) for part in self.parts)
        return all(fits) if self.joined_by == "AND" else any(fits)

    def ids(self) -> frozenset[str]:
        return frozenset[str]().union(*(part.ids() for part in self.parts))

    def with_ids(self, ids: Mapping[str, str]) -> "Group":
        return replace(self, parts=tuple(part.with_ids(ids) for part in self.parts))

    def value_count(self) -> int:
        return sum(part.value_count() for part in self.parts)

    def names(self) -> frozenset[ContactRef] | None:
        named = [part.names() for part in self.parts]
        some = [each for each in named if each is not None]
        if self.joined_by == "AND":
            return min(some, key=len, default=None)
        return frozenset[ContactRef]().union(*some) if len(some) == len(named) else None

    def kinds(self) -> Set[ContactKind]:
        kinds = [frozenset(part.kinds()) for part in self.parts]
        return (
            _ALL.intersection(*kinds) if self.joined_by == "AND" else frozenset[ContactKind]().union(*kinds)
        )

    def is_listed(self) -> bool:
        return all(part.is_listed() for part in self.parts)


Query = Condition | Group


def query_from(search: shapes.SearchFilter) -> Query:
    """Raises RequestInvalid for what cannot be searched by, or not within bounds."""
    query = _query(search, depth=0)
    if query.names() is None and not query.is_listed():
        raise _refused("operator", _LOOKS_THROUGH_ALL)
    if query.value_count() > VALUES_MAX:
        raise _refused("value", f"A search has at most {VALUES_MAX} values to look for. Make several.")
    return query


def _query(search: shapes.SearchFilter, *, depth: int) -> Query:
    if search.operator in {"AND", "OR"}:
        return _group(search, depth=depth)
    if search.field is None:
        raise _refused("field", "Contacts are searched by id, external_id, email and role.")
    operator = _NEGATED.get(search.operator, search.operator)
    values = [_text(each) for each in _listed(search.value)] if operator == "IN" else [_text(search.value)]
    if search.field == "role":
        if operator == "~":
            raise _refused("operator", "A role is compared as a whole: =, !=, IN or NIN.")
        for value in values:
            kind_of_role(value)
    if search.field == "email" and operator != "~":
        values = [email_ref(value).email or "" for value in values]
    return Condition(search.field, operator, tuple(values), negated=search.operator in _NEGATED)


def _group(search: shapes.SearchFilter, *, depth: int) -> Group:
    parts = search.value
    if not isinstance(parts, list) or not 1 <= len(parts) <= CONDITIONS_MAX or depth >= DEPTH_MAX:
        sentence = f"With {search.operator} the value is a list of 1 to {CONDITIONS_MAX} conditions"
        raise _refused("value", f"{sentence}, {DEPTH_MAX} deep at most.")
    return Group(search.operator, tuple(_query(_part(part), depth=depth + 1) for part in parts))


def _part(part: object) -> shapes.SearchFilter:
    try:
        return msgspec.convert(part, shapes.SearchFilter)
    except msgspec.ValidationError:
        raise _refused("value", "A condition has a field, an operator and a value.") from None


def _listed(value: object) -> Sequence[object]:
    if not isinstance(value, list) or not value:
        raise _refused("value", "With IN and NIN the value is a list of strings.")
    return value


def _text(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise _refused("value", "A value to look for is a string.")


def _refused(member: str, sentence: str) -> RequestInvalid:
    return RequestInvalid(FieldViolation(f"query.{member}", sentence))


_LOOKS_THROUGH_ALL = (
    "It could only be answered by looking through all contacts. Name them by id, external_id or email with = "
    "or IN, in each branch of an OR, or ask for a role and leave some out with !=, NIN or !~."
)
_TOLD: Mapping[str, Callable[[Contact], Set[str]]] = {
    "id": lambda contact: {contact.contact_id},
    "external_id": lambda contact: {contact.user_id, *contact.visitor_ids} - {""},
    "email": lambda contact: {(email_of(contact) or "").strip().lower()} - {""},
    "role": lambda contact: {role_of(contact.kind)},
}
_REFS: Mapping[str, Callable[[str], Sequence[ContactRef]]] = {
    "id": lambda value: [ref_of_id(value)] if is_id(value) else [],
    "external_id": lambda value: [user_ref(value), visitor_ref(value)],
    "email": lambda value: [email_ref(value)],
}
