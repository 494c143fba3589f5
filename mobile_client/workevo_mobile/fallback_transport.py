"""Two ways to the server: the second is taken where the first does not get through."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import grpc

from workevo.tracking.v1.tracking_pb2 import (
    IdentifyRequest,
    IdentifyResponse,
    UploadEventsRequest,
    UploadEventsResponse,
)
from workevo_mobile.errors import CallFailed
from workevo_mobile.transport import Transport

FAILURES_MAX = 3

_FINAL = frozenset(
    {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.CANCELLED}
)
"""Say nothing about the way: the server refused the key, or the app has ended."""


class FallbackTransport:
    """Calls `first`; after `failures_max` calls in a row that did not get through, `second`; and back too.

    A way that works is kept until it fails as often, so an app that lives behind a
    proxy without HTTP/2 pays for it once a start. A refusal by the server is no
    failure of the way. Each call is one attempt still: a copy sent at once by the
    other way would carry stale clocks (R8).
    """

    def __init__(self, first: Transport, second: Transport, *, failures_max: int = FAILURES_MAX) -> None:
        self._ways = (first, second)
        self._failures_max = failures_max
        self._lock = threading.Lock()
        self._current = 0
        self._failures = 0

    def upload_events(self, request: UploadEventsRequest, *, timeout: timedelta) -> UploadEventsResponse:
        with self._way() as way:
            return way.upload_events(request, timeout=timeout)

    def identify(self, request: IdentifyRequest, *, timeout: timedelta) -> IdentifyResponse:
        with self._way() as way:
            return way.identify(request, timeout=timeout)

    def close(self) -> None:
        for way in self._ways:
            way.close()

    @contextmanager
    def _way(self) -> Iterator[Transport]:
        current = self._current
        try:
            yield self._ways[current]
        except CallFailed as failed:
            self._learn(current, got_through=bool(failed.reason) or failed.code in _FINAL)
            raise
        self._learn(current, got_through=True)

    def _learn(self, current: int, *, got_through: bool) -> None:
        """A call by another way than what is now the current one teaches nothing any more."""
        with self._lock:
            if current != self._current:
                return
            self._failures = 0 if got_through else self._failures + 1
            if self._failures >= self._failures_max:
                self._current, self._failures = (current + 1) % len(self._ways), 0
