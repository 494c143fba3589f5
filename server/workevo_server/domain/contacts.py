"""Who an event says did it, and the texts that describe an install."""

from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.limits import ID_CODE_POINTS_MAX, INSTALL_TEXT_CODE_POINTS_MAX
from workevo_server.domain.naming import is_well_formed
from workevo_server.domain.verdicts import Reason, Refusal


def judge_claim(claim: ContactClaim) -> Refusal | None:
    """Why nobody can be meant by it: no id, or one that is none. Ids are compared exactly, so not trimmed."""
    if claim.user_id is not None:
        return _judge_id("user_id", claim.user_id)
    if claim.visitor_id is not None:
        return _judge_id("visitor_id", claim.visitor_id)
    return Refusal(
        reason=Reason.CONTACT_MISSING, field="contact", message="An event names a user_id or a visitor_id."
    )


def kind_of(claim: ContactClaim) -> ContactKind:
    """The kind by which filters offer the event (R24); a device tells users from visitors, never leads."""
    return ContactKind.VISITOR if claim.user_id is None else ContactKind.USER


def clip(text: str) -> str:
    """An install's description at a length that can be kept: it describes and identifies nothing."""
    return text[:INSTALL_TEXT_CODE_POINTS_MAX]


def _judge_id(field: str, value: str) -> Refusal | None:
    if 1 <= len(value) <= ID_CODE_POINTS_MAX and is_well_formed(value):
        return None
    message = f"A {field} has 1 to {ID_CODE_POINTS_MAX} code points."
    return Refusal(reason=Reason.CONTACT_INVALID, field=field, message=message)
