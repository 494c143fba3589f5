"""The reference SDK of Workevo for mobile apps: one door.

    tracker = Tracker("queue.db", transport=GrpcTransport("events.example.org:443", key))
    tracker.track("Purchased an item", {"price": Monetary(2999, "usd")})

All an app needs is here; the modules behind are not part of the promise.
"""

from workevo_mobile.clocks import Clocks, SystemClocks
from workevo_mobile.codec import AppInfo
from workevo_mobile.errors import CallFailed, InvalidEvent, QueueUnavailable
from workevo_mobile.metadata import Image, Link, MetadataInput, Monetary, RichLink, Stripe, StripeKind
from workevo_mobile.tracker import Tracker
from workevo_mobile.transport import GrpcTransport, Transport

__all__ = [
    "AppInfo",
    "CallFailed",
    "Clocks",
    "GrpcTransport",
    "Image",
    "InvalidEvent",
    "Link",
    "MetadataInput",
    "Monetary",
    "QueueUnavailable",
    "RichLink",
    "Stripe",
    "StripeKind",
    "SystemClocks",
    "Tracker",
    "Transport",
]
