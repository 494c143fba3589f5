"""Refusals that only this door knows; they stand in the same tree as the domain's."""

from datetime import timedelta

from workevo_server.domain.errors import WorkevoError
from workevo_server.transport.limits import DEADLINE_RETRY_AFTER


class DeadlinePassed(WorkevoError):
    """The body did not come, or the work was not done, within the time a call may take."""

    sentence = "The call took too long. Nothing of it was promised; send it again."

    def __init__(self, retry_after: timedelta = DEADLINE_RETRY_AFTER) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Incident(WorkevoError):
    """A fault of ours: the log has it under this id, the caller learns nothing more."""

    def __init__(self, incident_id: str) -> None:
        super().__init__(incident_id)
        self.incident_id = incident_id
        self.sentence = f"The server failed on this call and logged it as incident {incident_id}."


class EncodingUnknown(WorkevoError):
    """Of an HTTP body; the gRPC core answers the same by itself."""

    sentence = "The body's Content-Encoding is none that is known here. Send gzip, or none."


class OriginNotAllowed(WorkevoError):
    """A public key that was copied into another site's page."""

    sentence = "This key does not serve pages of this origin. Make one with 'workevo key create --origin'."
