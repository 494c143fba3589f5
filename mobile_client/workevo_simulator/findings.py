"""What can become of an event, what is held against whom, and what an audit found. Pure."""

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from workevo_simulator.readback import StoredEvent
from workevo_simulator.truth import ContactId


class Fate(enum.Enum):
    STORED = "stored"
    DUPLICATE = "duplicate"
    ARCHIVED = "archived"
    REJECTED = "rejected"
    DROPPED = "dropped"
    OPEN = "open"
    WIPED = "wiped"
    """Gone with a queue that was deleted or replaced; the server never heard of it (R14: unknown)."""
    MISSING = "missing"


LEDGERED = (Fate.STORED, Fate.DUPLICATE, Fate.ARCHIVED, Fate.REJECTED, Fate.DROPPED, Fate.OPEN)
"""What a ledger's balance has a sum of."""
COUNTED = (*LEDGERED, Fate.WIPED)
"""What adds up to everything generated, where nothing is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What of the workspace's settings decides on the expected outcome."""

    metadata_keys: int
    """R4: how many are kept."""
    identity_window: timedelta
    """R6; 0 when copies are not recognised."""
    merged_at_micros: Mapping[ContactId, int] = field(default_factory=dict)
    """When a visitor became a user's: R6 looks across the two from then on (R16)."""
    person_of: Mapping[ContactId, ContactId] = field(default_factory=dict)
    """Of a visitor that became a user's; any other contact is its own person."""

    given_up_by: Mapping[str, int] = field(default_factory=dict)
    """How many events each device says it gave up."""

    def person(self, contact: ContactId) -> ContactId:
        return self.person_of.get(contact, contact)


@dataclass(frozen=True, slots=True)
class Finding:
    """One event, or one sum, that is not as it should be."""

    what: str
    install_id: str
    sequence: int
    contact: str
    name: str


@dataclass(slots=True)
class Reconciliation:
    """Balanced when all four lists are empty."""

    fates: Counter[Fate] = field(default_factory=Counter)
    generated: int = 0
    resent: int = 0
    missing: list[Finding] = field(default_factory=list)
    """Generated, and neither stored nor accounted for."""
    unexpected: list[Finding] = field(default_factory=list)
    """Stored, and never generated or a second time."""
    differing: list[Finding] = field(default_factory=list)
    """Stored otherwise than they were generated."""
    imbalances: list[str] = field(default_factory=list)
    """Sums of the server (ledger, summary) that its own events or the truth contradict."""
    fate_of: dict[int, Fate] = field(default_factory=dict)
    """By place in the list of generated events."""
    stored_as: dict[int, StoredEvent] = field(default_factory=dict)
    """Likewise, of those that are stored."""

    @property
    def balanced(self) -> bool:
        return not (self.missing or self.unexpected or self.differing or self.imbalances)

    def sentences(self, each_max: int) -> list[str]:
        """What is not as it should be; of each kind the first ones."""
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "differing": self.differing}
        listed = [
            f"{kind}: {each.name!r} of {each.contact!r}, "
            f"sequence {each.sequence} of {each.install_id}: {each.what}"
            for kind, findings in kinds.items()
            for each in findings[:each_max]
        ]
        return listed + [f"imbalance: {line}" for line in self.imbalances[:each_max]]
