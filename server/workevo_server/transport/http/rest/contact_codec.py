"""Contacts between REST's words and the domain's."""

from collections.abc import Mapping

from workevo_server.domain.errors import FieldViolation, NotFound, RequestInvalid
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.domain.metadata import MetadataItem, value_from_json
from workevo_server.domain.naming import name_key
from workevo_server.ports.people import Contact, ContactFilter, ContactRef
from workevo_server.transport.http.rest import shapes
from workevo_server.transport.http.rest.metadata_json import value_to_json
from workevo_server.transport.http.rest.requests import well_formed

_OWN_ATTRIBUTES = ("name", "phone", "email")
"""Attributes that have members of their own in an answer."""


def ref_of_id(contact_id: str) -> ContactRef:
    """By our own id. Raises NotFound for what was never one."""
    if not (contact_id.isascii() and contact_id.isalnum()):
        raise NotFound("contact with this contact_id")
    return ContactRef(contact_id=ContactId(contact_id))


def email_ref(email: str) -> ContactRef:
    return ContactRef(email=well_formed("email", email).strip().lower())


def user_ref(user_id: str) -> ContactRef:
    return ContactRef(user_id=well_formed("user_id", user_id))


def visitor_ref(visitor_id: str) -> ContactRef:
    return ContactRef(visitor_id=well_formed("user_id", visitor_id))


def attributes_of(told: shapes.NewContact) -> list[MetadataItem]:
    items: list[tuple[str, object]] = [("name", told.name), ("phone", told.phone)]
    items += (told.custom_attributes or {}).items()
    return [MetadataItem(key, value_from_json(key, value)) for key, value in items]


def contact_to_json(contact: Contact, workspace_id: WorkspaceId) -> shapes.Contact:
    attributes = {name_key(entry.key): entry for entry in contact.attributes}
    own = {name: attributes.pop(name_key(name), None) for name in _OWN_ATTRIBUTES}
    texts: Mapping[str, str | None] = {
        name: str(value_to_json(entry.value)) if entry is not None else None for name, entry in own.items()
    }
    return shapes.Contact(
        id=contact.contact_id,
        external_id=external_id_of(contact),
        role=_ROLES[contact.kind],
        email=contact.email or texts["email"],
        name=texts["name"],
        phone=texts["phone"],
        created_at=contact.created_at_micros // 1_000_000,
        visitor_ids=list(contact.visitor_ids),
        custom_attributes={entry.key: value_to_json(entry.value) for entry in attributes.values()},
        workspace_id=workspace_id,
    )


def external_id_of(contact: Contact) -> str | None:
    return contact.user_id or next(iter(contact.visitor_ids), None)


def kind_of_role(role: object) -> ContactKind:
    """Raises RequestInvalid."""
    for kind, name in _ROLES.items():
        if name == role:
            return kind
    raise RequestInvalid(FieldViolation("query.value", "A role is user, lead or visitor."))


def role_of(kind: ContactKind) -> shapes.Role:
    return _ROLES[kind]


def filters_of(search: shapes.SearchFilter) -> list[tuple[str, object]]:
    """Field and value of each condition. Raises RequestInvalid for what cannot be searched by."""
    if search.operator == "=":
        return [(_field_of(search.field), search.value)]
    if not isinstance(search.value, list) or not search.value:
        raise RequestInvalid(FieldViolation("query.value", "With AND the value is a list of conditions."))
    return [_condition(part) for part in search.value]


def _condition(part: object) -> tuple[str, object]:
    match part:
        case {"field": str(field), "operator": "=", "value": value}:
            return _field_of(field), value
    raise RequestInvalid(
        FieldViolation("query.value", "A condition has a field, the operator = and a value.")
    )


def _field_of(field: str | None) -> str:
    if field in {"id", "external_id", "email", "role"}:
        return field
    raise RequestInvalid(
        FieldViolation("query.field", "Contacts are searched by id, external_id, email and role.")
    )


def narrowed(conditions: Mapping[str, object]) -> ContactFilter:
    """All but the id. Raises RequestInvalid for a value that is no string."""
    role, email = conditions.get("role"), conditions.get("email")
    return ContactFilter(
        kind=kind_of_role(role) if role is not None else None,
        email=email_ref(text_value(email)).email if email is not None else None,
    )


def text_value(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise RequestInvalid(FieldViolation("query.value", "A value to look for is a string."))


_ROLES: Mapping[ContactKind, shapes.Role] = {
    ContactKind.USER: "user",
    ContactKind.LEAD: "lead",
    ContactKind.VISITOR: "visitor",
}
