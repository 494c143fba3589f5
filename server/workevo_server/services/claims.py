"""Who back ends mean when they name a contact by its e-mail address or by our own id (R18)."""

from collections.abc import Sequence
from dataclasses import replace

from workevo_server.domain.events import ContactClaim, ReceivedEvent
from workevo_server.domain.identifiers import ContactId, WorkspaceId
from workevo_server.domain.naming import is_well_formed
from workevo_server.ports.people import ContactFinder, ContactRef


async def resolved(
    events: Sequence[ReceivedEvent], reader: ContactFinder, workspace_id: WorkspaceId
) -> tuple[ReceivedEvent, ...]:
    """The events, each contact named as a device would name it; a claim that means nobody stays as it is."""
    meant: dict[ContactClaim, ContactClaim] = {}
    for event in events:
        claim = event.contact
        if claim.is_unresolved and claim not in meant:
            meant[claim] = await _meant_by(claim, reader, workspace_id)
    return tuple(
        replace(event, contact=meant[event.contact]) if event.contact in meant else event for event in events
    )


async def _meant_by(claim: ContactClaim, reader: ContactFinder, workspace_id: WorkspaceId) -> ContactClaim:
    if not is_well_formed(claim.contact_id or claim.email or ""):
        return claim
    contact_id = ContactId(claim.contact_id) if claim.contact_id is not None else None
    contact = await reader.contact(workspace_id, ContactRef(contact_id=contact_id, email=claim.email))
    if contact is None:
        return claim
    if contact.user_id:
        return ContactClaim(user_id=contact.user_id)
    return ContactClaim(visitor_id=contact.visitor_ids[0])
