"""A log-in told by a device: the visitor of an install is a user (R15, R16)."""

from dataclasses import dataclass

from workevo_server.domain.events import Install
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.metadata import MetadataEntry
from workevo_server.domain.verdicts import Refusal
from workevo_server.domain.workspace import IdentityVerification


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    workspace_id: WorkspaceId
    install: Install
    visitor_id: str
    user_id: str
    attributes: tuple[MetadataEntry, ...] = ()
    occurred_at_micros: int
    """When the log-in was, clocks corrected (R8)."""
    received_at_micros: int
    demand: IdentityVerification = IdentityVerification.OFF
    """What the workspace asks of who claims to be a user (R19)."""
    verified: bool = False
    """With a valid proof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyAnswer:
    """ACCEPTED when `refusal` is None, else REJECTED or RETRY by its reason."""

    refusal: Refusal | None = None
