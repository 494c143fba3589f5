"""What the log learns of calls that were not answered as asked. Never anything a device sent."""

import hashlib
import traceback
from collections import Counter
from collections.abc import Callable

import structlog

from workevo_server.transport.metrics import Metrics

log = structlog.get_logger()


class Reports:
    """Counts refusals by method and reason, and gives our own faults an id."""

    def __init__(self, *, new_incident_id: Callable[[], str], metrics: Metrics | None = None) -> None:
        self._new_incident_id = new_incident_id
        self._metrics = metrics
        self._counts: Counter[tuple[str, str]] = Counter()

    def refused(self, method: str, reason: str) -> None:
        """An expected refusal. Logged when its count doubles: a flood of calls is no flood of lines."""
        if self._metrics is not None:
            self._metrics.refused(method, reason)
        if self._doubles(method, reason):
            count = self._counts[method, reason]
            log.info("calls_refused", method=method, reason=reason, count=count)

    def answered(self, method: str, *, seconds: float) -> None:
        """As asked; not logged."""
        if self._metrics is not None:
            self._metrics.answered(method, seconds)

    def malformed(self, method: str, body: bytes) -> None:
        """A body in which nothing could be told apart: its length and hash, by which a sender can find it."""
        if self._doubles(method, "malformed"):
            log.info(
                "body_malformed", method=method, bytes=len(body), sha256=hashlib.sha256(body).hexdigest()
            )

    def failed(self, method: str, error: BaseException) -> str:
        """A fault of ours; returns the id it was logged under.

        The frames alone: an exception's text may quote what a device sent.
        """
        incident_id = self._new_incident_id()
        log.error(
            "call_failed",
            method=method,
            incident_id=incident_id,
            error=type(error).__name__,
            frames=traceback.format_tb(error.__traceback__),
        )
        return incident_id

    def _doubles(self, method: str, what: str) -> bool:
        """Count it; whether the count is now a power of two."""
        self._counts[method, what] += 1
        count = self._counts[method, what]
        return count & (count - 1) == 0
