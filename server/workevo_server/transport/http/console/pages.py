"""What a page is: one declaration, of which its route and the test of its role are made."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.ports.sessions import Role, Session

CONSOLE_PATH = "/console"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleCall:
    """A request of somebody who is signed in and may make it."""

    session: Session
    request: Request
    """Its query, path and headers; its body has been read."""
    form: Mapping[str, str]
    """What was posted; of a field given twice the last."""
    csrf: str
    """What a form has to carry to be taken from this session."""

    @property
    def workspace_id(self) -> WorkspaceId:
        return self.session.workspace_id

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    @property
    def wants_part(self) -> bool:
        """Whether a script asks, which replaces a part of the page with the answer."""
        return self.request.headers.get("hx-request") == "true"


Answer = Callable[[ConsoleCall], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    name: str
    """In the log and in the metrics."""
    path: str
    """Below `/console`; Starlette's parameters in braces."""
    needs: Role
    """Who may: this role and those above it."""
    answer: Answer
    """Raises WorkevoError; runs to its end though the browser goes away."""
    method: str = "GET"
    """POST for whatever changes something."""
