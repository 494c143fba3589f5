"""The reference SDK of Workevo for mobile apps: one door.

    tracker = Tracker("queue.db", transport=GrpcTransport("events.example.org:443", key))
    tracker.track("Purchased an item", {"price": Monetary(2999, "usd")})

All an app needs is here; the modules behind are not part of the promise.
"""

from workevo_mobile.async_tracker import AsyncTracker
from workevo_mobile.caps import Caps
from workevo_mobile.clocks import Clocks, SystemClocks
from workevo_mobile.codec import AppInfo
from workevo_mobile.connect_transport import ConnectTransport
from workevo_mobile.errors import CallFailed, InvalidEvent, QueueFull, QueueUnavailable
from workevo_mobile.fallback_transport import FallbackTransport
from workevo_mobile.metadata import Image, Link, MetadataInput, Monetary, RichLink, Stripe, StripeKind
from workevo_mobile.receipt import Receipt
from workevo_mobile.stats import DeadLetter, Stats
from workevo_mobile.tracker import Tracker
from workevo_mobile.transport import CallMetadata, GrpcTransport, Transport

__all__ = [
    "AppInfo",
    "AsyncTracker",
    "CallFailed",
    "CallMetadata",
    "Caps",
    "Clocks",
    "ConnectTransport",
    "DeadLetter",
    "FallbackTransport",
    "GrpcTransport",
    "Image",
    "InvalidEvent",
    "Link",
    "MetadataInput",
    "Monetary",
    "QueueFull",
    "QueueUnavailable",
    "Receipt",
    "RichLink",
    "Stats",
    "Stripe",
    "StripeKind",
    "SystemClocks",
    "Tracker",
    "Transport",
]
