"""What became of every generated event, for those who watch (R14)."""

from collections.abc import Sequence
from dataclasses import dataclass

from workevo_server.domain import limits
from workevo_server.domain import page_token as tokens
from workevo_server.domain.errors import NotFound
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.ledger import Balance
from workevo_server.ports.delivery import DeliveryReader, InstallRecord, InstallRow, QueuePlace, TroublePlace
from workevo_server.services.pages import page_size_of


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPage:
    installs: Sequence[InstallRecord]
    """In the order they were first seen."""
    next_page_token: str
    """Empty on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallList:
    installs: Sequence[InstallRow]
    """In the order that was asked for."""
    next_page_token: str
    """Empty on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPage:
    install: InstallRecord
    next_page_token: str
    """Of older queues; empty when there are none."""


class Delivery:
    def __init__(self, *, reader: DeliveryReader, page_token_secret: bytes) -> None:
        self._reader = reader
        self._secret = page_token_secret

    async def installs(self, workspace_id: WorkspaceId, *, page_size: int, page_token: str) -> InstallPage:
        """Installs with their ledgers, in the order they were first seen.

        Raises PageTokenInvalid for a token of another list.
        """
        size, scope = page_size_of(page_size), f"installs {workspace_id}"
        (after,) = self._position(page_token, scope, length=1) or (0,)
        found = await self._reader.installs(workspace_id, after_install_no=after, count_max=size + 1)
        page = found[:size]
        return InstallPage(
            installs=page,
            next_page_token=self._token(scope, page[-1].install_no) if len(found) > size else "",
        )

    async def balance(self, workspace_id: WorkspaceId) -> Balance:
        """What became of all that the installs of the workspace ever generated (R14), in numbers alone."""
        return await self._reader.balance(workspace_id)

    async def troubled_installs(
        self, workspace_id: WorkspaceId, *, page_size: int, page_token: str
    ) -> InstallList:
        """Installs with most gaps and drops in one queue first, then the newest. Raises PageTokenInvalid."""
        size, scope = page_size_of(page_size), f"troubled installs {workspace_id}"
        position = self._position(page_token, scope, length=2)
        beyond = TroublePlace(trouble_count=position[0], install_no=position[1]) if position else None
        found = await self._reader.troubled_installs(workspace_id, beyond=beyond, count_max=size + 1)
        page, more = found[:size], len(found) > size
        last = page[-1][0] if more else None
        return InstallList(
            installs=[install for _, install in page],
            next_page_token=self._token(scope, last.trouble_count, last.install_no) if last else "",
        )

    async def find_installs(
        self, workspace_id: WorkspaceId, prefix: str, *, page_size: int, page_token: str
    ) -> InstallList:
        """Installs whose id is this text or begins so, in the order of their ids. Raises PageTokenInvalid."""
        size, scope = page_size_of(page_size), f"installs {workspace_id} {prefix!r}"
        (behind,) = self._position(page_token, scope, length=1) or (None,)
        found = await self._reader.installs_by_prefix(
            workspace_id, prefix, behind_install_no=behind, count_max=size + 1
        )
        page = found[:size]
        return InstallList(
            installs=page,
            next_page_token=self._token(scope, page[-1].install_no) if len(found) > size else "",
        )

    async def ledger(
        self,
        workspace_id: WorkspaceId,
        install_id: InstallId,
        *,
        queues_max: int = limits.LEDGER_QUEUES_MAX,
        page_token: str = "",
    ) -> LedgerPage:
        """One install with the ledgers of its newest queues, or behind a token of older ones.

        Raises NotFound, and PageTokenInvalid for a token of another install.
        """
        scope = f"queues {workspace_id} {install_id!r}"
        position = self._position(page_token, scope, length=3)
        found = await self._reader.install(
            workspace_id,
            install_id,
            beyond=_queue_place(position) if position else None,
            count_max=queues_max,
        )
        if found is None:
            raise NotFound("install")
        older = found.older
        return LedgerPage(
            install=found,
            next_page_token=self._token(scope, *_queue_position(older)) if older is not None else "",
        )

    async def queue(self, workspace_id: WorkspaceId, install_id: InstallId, epoch: bytes) -> InstallRecord:
        """One install with the ledger of this queue alone, or of none that it has not. Raises NotFound."""
        found = await self._reader.install(workspace_id, install_id, epoch=epoch)
        if found is None:
            raise NotFound("install")
        return found

    def _position(self, token: str, scope: str, *, length: int) -> tuple[int, ...]:
        """Empty at the beginning of the list."""
        return tokens.decode(token, scope=scope, secret=self._secret, length=length) if token else ()

    def _token(self, scope: str, *position: int) -> str:
        return tokens.encode(position, scope=scope, secret=self._secret)


def _queue_position(place: QueuePlace) -> tuple[int, int, int]:
    """In the whole numbers of a page token: an epoch has sixteen bytes."""
    halves = place.epoch[: limits.EPOCH_BYTES // 2], place.epoch[limits.EPOCH_BYTES // 2 :]
    high, low = (int.from_bytes(half, signed=True) for half in halves)
    return place.started_at_micros, high, low


def _queue_place(position: tuple[int, ...]) -> QueuePlace:
    started_at, *halves = position
    epoch = b"".join(half.to_bytes(limits.EPOCH_BYTES // 2, signed=True) for half in halves)
    return QueuePlace(started_at_micros=started_at, epoch=epoch)
