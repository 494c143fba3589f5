"""Who an event says did it, what a person is and sees of its past, who may become one (R16, R17)."""

from datetime import timedelta

from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.limits import (
    EMAIL_CODE_POINTS_MAX,
    ID_CODE_POINTS_MAX,
    INSTALL_TEXT_CODE_POINTS_MAX,
    LEAD_HISTORY,
)
from workevo_server.domain.naming import is_well_formed
from workevo_server.domain.verdicts import Reason, Refusal

CONTACT_UNKNOWN = Refusal(
    reason=Reason.CONTACT_UNKNOWN,
    field="contact",
    message="User Not Found: make the contact first, or let the workspace create_unknown_users.",
)
"""R18: a back end's event does not make the user it names, unless the workspace says so."""


def judge_claim(claim: ContactClaim) -> Refusal | None:
    """Why nobody can be meant by it: no id, or one that is none. Ids are compared exactly, so not trimmed."""
    if claim.user_id is not None:
        return _judge_id("user_id", claim.user_id)
    if claim.visitor_id is not None:
        return _judge_id("visitor_id", claim.visitor_id)
    if claim.is_unresolved:
        return CONTACT_UNKNOWN
    return Refusal(
        reason=Reason.CONTACT_MISSING, field="contact", message="An event names a user_id or a visitor_id."
    )


def kind_of(claim: ContactClaim) -> ContactKind:
    """What an id alone tells of the kind; a device tells users from visitors, never leads."""
    return ContactKind.VISITOR if claim.user_id is None else ContactKind.USER


def kind_when_tracked(
    claim: ContactClaim, *, occurred_at_micros: int, first_contact_micros: int | None
) -> ContactKind:
    """The kind by which filters offer an event (R24): a visitor is a lead from its first contact on."""
    kind = kind_of(claim)
    is_lead = first_contact_micros is not None and first_contact_micros <= occurred_at_micros
    return ContactKind.LEAD if kind is ContactKind.VISITOR and is_lead else kind


def shown_from(kind: ContactKind, first_contact_micros: int | None) -> int | None:
    """R17: what of a profile occurred before this is not shown; None when all of it is."""
    if kind is not ContactKind.LEAD or first_contact_micros is None:
        return None
    return first_contact_micros - LEAD_HISTORY // timedelta(microseconds=1)


_KNOWN_BETTER = (ContactKind.VISITOR, ContactKind.LEAD, ContactKind.USER)


def merge_refusal(kind: ContactKind, into: ContactKind) -> str | None:
    """Why a contact of one kind may not be merged into one of another (R16); None when it may.

    The contact that is left has to be the better known one, so that a merge never
    takes an id, or a first contact, away from the one that a back end goes on using.
    """
    if kind is into is ContactKind.USER:
        return "Both are users, and two users are two people: they are never merged into one (R16)."
    if _KNOWN_BETTER.index(kind) > _KNOWN_BETTER.index(into):
        return (
            f"A {kind.value.lower()} is not merged into a {into.value.lower()}, which is known less well. "
            "Merge them the other way round."
        )
    return None


def email_of(text: str) -> str | None:
    """An address as it is kept and compared, in lower case; None when it is none."""
    email = text.strip().lower()
    name, at, host = email.partition("@")
    return email if name and at and host and len(email) <= EMAIL_CODE_POINTS_MAX else None


def clip(text: str) -> str:
    """An install's description at a length that can be kept: it describes and identifies nothing."""
    return text[:INSTALL_TEXT_CODE_POINTS_MAX]


def _judge_id(field: str, value: str) -> Refusal | None:
    if 1 <= len(value) <= ID_CODE_POINTS_MAX and is_well_formed(value):
        return None
    message = f"A {field} has 1 to {ID_CODE_POINTS_MAX} code points."
    return Refusal(reason=Reason.CONTACT_INVALID, field=field, message=message)
