"""What can go wrong at the door.

InvalidEvent      the app's own mistake, raised at once, nothing was queued
QueueUnavailable  the queue file cannot take or give anything; nothing was promised
  QueueFull       it has no room, and the app chose to hear so instead of losing the oldest
CallFailed        a call to the server failed; the uploader's business, never the app's
"""

from datetime import timedelta

import grpc


class InvalidEvent(ValueError):
    """The name, a time, an id or the metadata break a limit; the sentence says which."""


class QueueUnavailable(Exception):
    """The queue file cannot be used: in use by another Tracker, disk full, damaged, or not ours."""


class QueueFull(QueueUnavailable):
    """At a cap, and the app chose `refuse_new`; or more events wait for a slow disk than memory may hold."""


class CallFailed(Exception):
    """A call that was not answered, or was refused as a whole.

    `reason` is that of the server's google.rpc.ErrorInfo, `retry_delay` that of
    its RetryInfo; empty and None where it sent none.
    """

    def __init__(
        self, code: grpc.StatusCode, *, reason: str = "", retry_delay: timedelta | None = None
    ) -> None:
        super().__init__(code, reason, retry_delay)
        self.code = code
        self.reason = reason
        self.retry_delay = retry_delay
