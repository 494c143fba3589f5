"""Contacts between REST's words and the domain's."""

from collections.abc import Mapping

from workevo_server.domain.errors import FieldViolation, NotFound, RequestInvalid
from workevo_server.domain.events import ContactKind
from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.domain.metadata import MetadataItem, value_from_json
from workevo_server.domain.naming import name_key
from workevo_server.ports.people import Contact, ContactRef
from workevo_server.transport.http.rest import shapes
from workevo_server.transport.http.rest.metadata_json import value_to_json
from workevo_server.transport.http.rest.requests import well_formed

_EMAIL = name_key("email")
_OWN_ATTRIBUTES = ("name", "phone", "email")
"""Attributes that have members of their own in an answer."""


def ref_of_id(contact_id: str) -> ContactRef:
    """By our own id. Raises NotFound for what was never one."""
    if not is_id(contact_id):
        raise NotFound("contact with this contact_id")
    return ContactRef(contact_id=ContactId(contact_id))


def is_id(text: str) -> bool:
    return text.isascii() and text.isalnum()


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
        email=email_of(contact),
        name=texts["name"],
        phone=texts["phone"],
        created_at=contact.created_at_micros // 1_000_000,
        visitor_ids=list(contact.visitor_ids),
        custom_attributes={entry.key: value_to_json(entry.value) for entry in attributes.values()},
        workspace_id=workspace_id,
    )


def email_of(contact: Contact) -> str | None:
    """Its own, or the one it has as an attribute."""
    told = next((each for each in contact.attributes if name_key(each.key) == _EMAIL), None)
    return contact.email or (str(value_to_json(told.value)) if told is not None else None)


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


_ROLES: Mapping[ContactKind, shapes.Role] = {
    ContactKind.USER: "user",
    ContactKind.LEAD: "lead",
    ContactKind.VISITOR: "visitor",
}
