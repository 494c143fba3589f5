"""A believable shop's app and the person who uses it: sessions of screens, searches and purchases. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from workevo_mobile import Image, Link, MetadataInput, Monetary, RichLink, Stripe, StripeKind

_SECOND = 1_000_000
_HOUR = 3600 * _SECOND
_DAY = 24 * _HOUR
_SHOP = "https://shop.example"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Metadata = dict[str, MetadataInput]

# From each event the ones that may follow, with their weights; "" ends the session.
_NEXT: dict[str, dict[str, float]] = {
    "opened-app": {"viewed-screen": 8, "searched": 2, "": 0.5},
    "viewed-screen": {"viewed-screen": 4, "searched": 2, "viewed-item": 4, "invited-friend": 0.3, "": 2},
    "searched": {"viewed-item": 6, "searched": 2, "viewed-screen": 1, "": 1},
    "viewed-item": {"viewed-item": 3, "added-to-cart": 2, "shared.item": 0.4, "viewed-screen": 2, "": 1},
    "added-to-cart": {"viewed-item": 3, "purchased-item": 3, "viewed-screen": 1, "": 1},
    "purchased-item": {"viewed-screen": 2, "rated app": 0.6, "": 2},
    "invited-friend": {"viewed-screen": 1, "": 1},
    "shared.item": {"viewed-item": 1, "": 1},
    "rated app": {"": 1},
}
_SCREENS = ("home", "offers", "search", "cart", "account", "help")
_WORDS = ("kettle", "lamp", "löffel", "テーブル", "chair", "sofa bed", "rug")
_CURRENCIES = ("EUR", "USD", "JPY", "KWD")


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a session."""

    at_micros: int
    name: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Session:
    steps: tuple[Step, ...]
    ends_micros: int
    """When the app leaves the screen."""


def sessions(
    chance: random.Random,
    *,
    from_micros: int,
    until_micros: int,
    per_day: float,
    events_mean: float,
    day_starts_micros: int,
) -> Iterator[Session]:
    """All sessions of one device, in order; none overlaps the next. By day, mostly."""
    at = from_micros
    while True:
        at += round(chance.expovariate(per_day / _DAY))
        at = _waking(at, day_starts_micros, chance)
        if at >= until_micros:
            return
        session = _session(chance, at, events_mean)
        yield session
        at = session.ends_micros + _SECOND


def _waking(at: int, day_starts_micros: int, chance: random.Random) -> int:
    """Nine in ten who would come at night come after breakfast."""
    into_day = (at - day_starts_micros) % _DAY
    if into_day < 7 * _HOUR and chance.random() < 0.9:
        return at - into_day + 7 * _HOUR + chance.randint(0, 2 * _HOUR)
    return at


def _session(chance: random.Random, starts: int, events_mean: float) -> Session:
    wanted = 1 + round(chance.expovariate(1 / max(events_mean - 1, 0.1)))
    steps: list[Step] = []
    at, name = starts, "opened-app"
    while name and len(steps) < wanted:
        steps.append(Step(at, name, _metadata(name, chance, at)))
        at += round(chance.lognormvariate(2.0, 0.9) * _SECOND) + 1
        following = _NEXT[name]
        (name,) = chance.choices(list(following), list(following.values()))
        if not name and len(steps) < wanted / 2:
            name = "viewed-screen"
    return Session(tuple(steps), at)


def _metadata(name: str, chance: random.Random, at: int) -> Metadata:
    item = chance.randint(1, 5000)
    url = f"{_SHOP}/items/{item}"
    match name:
        case "viewed-screen":
            return {"screen": chance.choice(_SCREENS)}
        case "searched":
            return {"words": chance.choice(_WORDS), "results": chance.randint(0, 300)}
        case "viewed-item":
            return {"item": item, "page": Link(url), "picture": Image(f"{url}.webp")}
        case "added-to-cart":
            return {
                "item": RichLink(url, f"Item {item}"),
                "price": _price(chance),
                "rating": chance.random() * 5,
            }
        case "purchased-item":
            arrives = _EPOCH + timedelta(seconds=at // _SECOND, days=chance.randint(1, 9))
            charge = Stripe(StripeKind.CHARGE, f"ch_{chance.getrandbits(40):010x}")
            return {"price": _price(chance), "stripe_charge": charge, "arrives_at": arrives}
        case "rated app":  # More than a workspace keeps (R4).
            return {f"answer-{number}": chance.randint(1, 5) for number in range(1, 8)}
        case _:
            return {}


def _price(chance: random.Random) -> Monetary:
    return Monetary(chance.randint(99, 99_999), chance.choice(_CURRENCIES))
