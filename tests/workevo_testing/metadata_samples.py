"""Metadata of every type (R5), and texts that somebody sends to break a page."""

from google.protobuf.timestamp_pb2 import Timestamp

from workevo.tracking.v1 import event_pb2 as wire

HOSTILE_TEXTS = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\"><svg onload=document.title='owned'>",
    "{{ 7 * 7 }}${7 * 7}",
    "</bdi></a></li></ol></section><h1>owned</h1>",
    "abc\u202egnp.exe\u2066\u200f",
    "a\0b\tc\nd\x7f",
    "\U0001f9d1\u200d\U0001f680" * 85,
    "\ufdfd" * 255,
)
"""HTML, scripts, templates, marks of direction, NUL, and names as wide as they may be."""


def every_type(image_url: str = "https://images.example.org/lamp.png") -> tuple[wire.MetadataEntry, ...]:
    """One entry of each; more than one event keeps (R4)."""
    entry = wire.MetadataEntry
    return (
        entry(key="plan-name", text="team"),
        entry(key="seats", integer=9_007_199_254_740_993),
        entry(key="score", number=0.5),
        entry(key="renewed_at", date=Timestamp(seconds=1_700_000_000)),
        entry(key="docs", link="https://docs.example.org/a?b=1&c=%20"),
        entry(key="order", rich_link=wire.RichLink(url="https://shop.example.org/orders/7", title="Order 7")),
        entry(key="photo", image=image_url),
        entry(key="stripe_charge", stripe=wire.Stripe(kind=wire.Stripe.KIND_CHARGE, id="ch_1/2")),
        entry(key="price", monetary=wire.Monetary(amount=2999, currency="usd")),
        entry(key="fee", monetary=wire.Monetary(amount=-5, currency="KWD")),
    )
