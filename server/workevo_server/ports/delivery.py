"""Reading what became of every generated event (R14)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from workevo_server.domain import limits
from workevo_server.domain.events import Install
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.ledger import Balance, Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Events that were stored and are there no more (R32)."""

    erased: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """Where a queue stands among those of its install."""

    started_at_micros: int
    epoch: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallRecord:
    install_no: int
    """Order in which the store first saw it."""
    install: Install
    """As last told; `epoch` is its newest."""
    first_seen_micros: int
    last_seen_micros: int
    ledgers: Sequence[tuple[bytes, Ledger]]
    """(epoch, ledger), oldest first: of those queues that were asked for: there may be any number."""
    gone: Mapping[bytes, Gone] = field(default_factory=dict)
    """By epoch, of what its ledger calls stored."""
    totals: Balance = field(default_factory=Balance)
    """Of all its queues, whether their ledgers are here or not; without the reasons."""
    queue_count: int = 0
    """Of all."""
    older: QueuePlace | None = None
    """The oldest one here, when there are older ones; None when there are none."""

    def balance(self) -> Balance:
        """Of all its queues together (R14); with the reasons of those whose ledgers are here."""
        here = sum((ledger.balance() for _, ledger in self.ledgers), Balance())
        return replace(
            self.totals,
            rejected_by_reason=here.rejected_by_reason,
            dropped_by_reason=here.dropped_by_reason,
        )

    def balance_of(self, epoch: bytes, ledger: Ledger) -> Balance:
        gone = self.gone.get(epoch, Gone())
        return replace(ledger.balance(), erased=gone.erased, expired=gone.expired)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallRow:
    """An install as a list shows it: its ledgers in numbers, and not the documents, which may be long."""

    install_no: int
    install: Install
    first_seen_micros: int
    last_seen_micros: int
    balance: Balance
    """Of all its queues together (R14); without the reasons."""
    queue_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TroublePlace:
    """Where an install stands among those with gaps and drops."""

    trouble_count: int
    """Open and dropped sequences of its queue that has most of them."""
    install_no: int


class DeliveryReader(Protocol):
    async def balance(self, workspace_id: WorkspaceId) -> Balance:
        """Of all installs together (R14), in numbers alone: by which reasons, the ledgers say one by one."""

    async def troubled_installs(
        self, workspace_id: WorkspaceId, *, beyond: TroublePlace | None, count_max: int
    ) -> Sequence[tuple[TroublePlace, InstallRow]]:
        """Installs with most gaps and drops first, then those first seen last; those beyond a place.

        An install whose trouble grew between two pages may be on neither, one whose trouble
        shrank on both.
        """

    async def installs_by_prefix(
        self, workspace_id: WorkspaceId, prefix: str, *, behind_install_no: int | None, count_max: int
    ) -> Sequence[InstallRow]:
        """Installs whose id begins so, in the order of their ids, those behind an install's id."""

    async def installs(
        self, workspace_id: WorkspaceId, *, after_install_no: int, count_max: int
    ) -> Sequence[InstallRecord]:
        """Installs in the order they were first seen, those behind `after_install_no`.

        Of each with the ledgers of the newest `limits.LISTED_QUEUES_MAX` queues, those that
        are short.
        """

    async def install(
        self,
        workspace_id: WorkspaceId,
        install_id: InstallId,
        *,
        epoch: bytes | None = None,
        beyond: QueuePlace | None = None,
        count_max: int = limits.LEDGER_QUEUES_MAX,
    ) -> InstallRecord | None:
        """One install; None when the workspace has none of that id.

        With the ledgers of its newest queues, or of the newest of those older than `beyond`,
        or of the one of this `epoch`, if there is one: `count_max` of them, and fewer where
        they are long together. When there are none such, the totals are missing too.
        """
