"""A device's calls besides the upload, translated and not judged."""

from dataclasses import dataclass

from workevo_server.domain.events import ClockReading, Install
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.metadata import MetadataItem


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyCall:
    workspace_id: WorkspaceId
    install: Install
    visitor_id: str
    user_id: str
    user_hash: str
    attributes: tuple[MetadataItem, ...]
    identify_clock: ClockReading
    send_clock: ClockReading
    received_at_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetCall:
    """R31: the device asks that this install and its visitor be erased."""

    workspace_id: WorkspaceId
    install: Install
    received_at_micros: int
