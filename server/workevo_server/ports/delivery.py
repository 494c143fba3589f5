"""Reading what became of every generated event (R14)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from workevo_server.domain.events import Install
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.ledger import Balance, Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Events that were stored and are there no more (R32)."""

    erased: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallRecord:
    install_no: int
    """Order in which the store first saw it."""
    install: Install
    """As last told; `epoch` is its newest."""
    first_seen_micros: int
    last_seen_micros: int
    ledgers: Sequence[tuple[bytes, Ledger]]
    """(epoch, ledger), oldest first."""
    gone: Mapping[bytes, Gone] = field(default_factory=dict)
    """By epoch, of what its ledger calls stored."""

    def balance(self) -> Balance:
        """Of all its queues together (R14)."""
        return sum((self.balance_of(epoch, ledger) for epoch, ledger in self.ledgers), Balance())

    def balance_of(self, epoch: bytes, ledger: Ledger) -> Balance:
        gone = self.gone.get(epoch, Gone())
        return replace(ledger.balance(), erased=gone.erased, expired=gone.expired)


class DeliveryReader(Protocol):
    async def installs(
        self, workspace_id: WorkspaceId, *, after_install_no: int, count_max: int
    ) -> Sequence[InstallRecord]:
        """Installs in the order they were first seen, those behind `after_install_no`."""

    async def install(self, workspace_id: WorkspaceId, install_id: InstallId) -> InstallRecord | None:
        """One install; None when the workspace has none of that id."""
