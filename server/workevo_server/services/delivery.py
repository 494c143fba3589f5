"""What became of every generated event, for those who watch (R14)."""

from collections.abc import Sequence
from dataclasses import dataclass

from workevo_server.domain import page_token as tokens
from workevo_server.domain.errors import NotFound
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.ports.delivery import DeliveryReader, InstallRecord
from workevo_server.services.pages import page_size_of


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPage:
    installs: Sequence[InstallRecord]
    """In the order they were first seen."""
    next_page_token: str
    """Empty on the last page."""


class Delivery:
    def __init__(self, *, reader: DeliveryReader, page_token_secret: bytes) -> None:
        self._reader = reader
        self._secret = page_token_secret

    async def installs(self, workspace_id: WorkspaceId, *, page_size: int, page_token: str) -> InstallPage:
        """A page of installs with their ledgers. Raises PageTokenInvalid for a token of another list."""
        size = page_size_of(page_size)
        found = await self._reader.installs(
            workspace_id, after_install_no=self._position(workspace_id, page_token), count_max=size + 1
        )
        page = found[:size]
        return InstallPage(
            installs=page,
            next_page_token=self._token(workspace_id, page[-1]) if len(found) > size else "",
        )

    async def ledger(self, workspace_id: WorkspaceId, install_id: InstallId) -> InstallRecord:
        """One install with the ledgers of all its epochs. Raises NotFound."""
        install = await self._reader.install(workspace_id, install_id)
        if install is None:
            raise NotFound("install")
        return install

    def _position(self, workspace_id: WorkspaceId, token: str) -> int:
        if not token:
            return 0
        return tokens.decode(token, scope=_scope(workspace_id), secret=self._secret, length=1)[0]

    def _token(self, workspace_id: WorkspaceId, last: InstallRecord) -> str:
        return tokens.encode([last.install_no], scope=_scope(workspace_id), secret=self._secret)


def _scope(workspace_id: WorkspaceId) -> str:
    return f"installs {workspace_id}"
