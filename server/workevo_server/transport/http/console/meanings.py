"""What outcomes and reasons mean, for people who have read no contract."""

from collections.abc import Mapping

from workevo_server.domain.events import DropReason
from workevo_server.domain.ledger import Outcome, OutcomeKind
from workevo_server.domain.verdicts import Reason

OUTCOMES: Mapping[OutcomeKind, str] = {
    OutcomeKind.STORED: "Kept: it is on somebody's timeline.",
    OutcomeKind.DUPLICATE: "The same person had done the same within the same second: one copy is kept.",
    OutcomeKind.ARCHIVED: "Its name was archived when it came: it is counted and not stored.",
    OutcomeKind.REJECTED: "It broke a rule. It is kept whole for a while, to be judged again.",
    OutcomeKind.DROPPED: "The device gave it up, and told why.",
    OutcomeKind.FOLDED: "Answered long ago, and the device knows the answer; only counted since.",
    OutcomeKind.OPEN: "Generated and not here yet: it waits on the device, or is on its way.",
}

REASONS: Mapping[Reason, str] = {
    Reason.EVENT_TOO_LARGE: "The event is larger than an event may be.",
    Reason.EVENT_MALFORMED: "The event's bytes could not be read.",
    Reason.SEQUENCE_INVALID: "The number that the device gave it is none.",
    Reason.NAME_INVALID: "The event has no name, or one that the workspace does not allow.",
    Reason.CREATED_AT_INVALID: "The time that it carries is none.",
    Reason.CREATED_AT_OUT_OF_RANGE: "The time that it carries cannot be.",
    Reason.CONTACT_MISSING: "It does not say who did it.",
    Reason.CONTACT_INVALID: "Who it says did it cannot be a person's id.",
    Reason.IDENTITY_UNVERIFIED: "It names a user without a valid proof that the device is that user's.",
    Reason.CONTACT_ERASED: "It was done before its person was deleted. It is counted and never kept.",
    Reason.METADATA_KEY_INVALID: "One of its metadata keys is not allowed.",
    Reason.METADATA_VALUE_INVALID: "One of its metadata values does not fit its type.",
    Reason.EVENT_NAME_LIMIT: "It would have been one name more than the workspace may have in use.",
    Reason.EPOCH_FORKED: "Two devices hold the same queue, as after a restored backup; it comes again.",
    Reason.TOO_MANY_GAPS: "So much is missing from this queue that no device could still have it.",
    Reason.VISITOR_TAKEN: "The visitor belongs to another user already.",
    Reason.VISITOR_SHARED: "Another install uses the same visitor id.",
    Reason.VISITOR_LIMIT: "The user has as many visitor ids as one may have.",
    Reason.CONTACT_UNKNOWN: "The workspace knows nobody of this id, and makes nobody of it.",
}

DROPS: Mapping[DropReason, str] = {
    DropReason.UNSPECIFIED: "The device did not say why.",
    DropReason.QUEUE_FULL: "The device's queue was full: it was offline for long, or produced very much.",
    DropReason.EXPIRED: "It had waited on the device longer than events may.",
    DropReason.OPTED_OUT: "The person opted out of tracking, which empties the queue.",
    DropReason.CORRUPT: "The device could not read it from its own queue any more.",
    DropReason.QUARANTINED: "No upload with it came through, so the device set it aside.",
    DropReason.ARCHIVED: "Its name is archived, so the device did not send it.",
    DropReason.DISABLED: "Its name is switched off, so the device did not send it.",
}


def meaning(outcome: Outcome) -> str:
    """The reason's, where there is one."""
    if outcome.reason is not None:
        return REASONS[outcome.reason]
    if outcome.drop_reason is not None:
        return DROPS[outcome.drop_reason]
    return OUTCOMES[outcome.kind]
