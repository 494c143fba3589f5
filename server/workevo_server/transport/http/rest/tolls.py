"""How many requests a workspace may make (R29): counted in windows of ten seconds, told with every answer."""

from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil

from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.limits import REST_RATE_WINDOW
from workevo_server.ports.clock import Clock
from workevo_server.ports.key_ring import KeyRing, Principal
from workevo_server.transport.http.refusals import HttpRefusal

_WINDOW_MICROS = REST_RATE_WINDOW // timedelta(microseconds=1)
_SECOND_MICROS = 1_000_000


@dataclass(slots=True)
class _Counted:
    window: int = -1
    requests: int = 0


@dataclass(slots=True, kw_only=True)
class RestToll:
    """A `guard.Toll`. Repeats count as well, for they cost the same."""

    key_ring: KeyRing
    clock: Clock
    _counted: dict[WorkspaceId, _Counted] = field(default_factory=dict)

    def take(self, principal: Principal) -> dict[str, str]:
        limit = self.key_ring.settings(principal.workspace_id).rest_rate_limit
        now = self.clock.now_micros()
        window = now // _WINDOW_MICROS
        counted = self._counted.setdefault(principal.workspace_id, _Counted())
        if counted.window != window:
            counted.window, counted.requests = window, 0
        counted.requests += 1
        ends_at = (window + 1) * _WINDOW_MICROS
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - counted.requests)),
            "X-RateLimit-Reset": str(ends_at // _SECOND_MICROS),
        }
        if counted.requests > limit:
            raise _too_many(limit, headers | {"Retry-After": str(ceil((ends_at - now) / _SECOND_MICROS))})
        return headers


def _too_many(limit: int, headers: dict[str, str]) -> HttpRefusal:
    seconds = REST_RATE_WINDOW // timedelta(seconds=1)
    sentence = f"Exceeded rate limit of {limit} in {seconds}_seconds."
    return HttpRefusal(429, "rate_limit_exceeded", sentence, headers=headers)
