"""Which devices must keep one time, and which lane they live in."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from workevo_simulator.crew import Household, Member
from workevo_simulator.recording import Row

_Node = tuple[str, str]
"""("device" or "contact", its name)."""


def households(rows: Iterable[Row]) -> list[dict[str, list[Row]]]:
    """Rows by device, in groups that share no contact, in order of their first row.

    R6 compares within a contact, however many devices it has, so that these
    must be lived through in the order of one time.
    """
    rows = list(rows)
    parents: dict[_Node, _Node] = {}
    for row in rows:
        device, contact = _root(parents, ("device", row.device)), _root(parents, ("contact", row.contact))
        parents[device] = contact
    grouped: dict[_Node, dict[str, list[Row]]] = defaultdict(dict)
    for row in rows:
        grouped[_root(parents, ("device", row.device))].setdefault(row.device, []).append(row)
    return list(grouped.values())


def shared_out(homes: Iterable[Household], *, lanes: int) -> list[list[Member]]:
    """One list a lane, none empty: the busiest household first, each to the lane with the fewest acts."""
    sized = sorted(((act_count([home]), home) for home in homes), key=lambda each: -each[0])
    shares: list[list[Member]] = [[] for _ in range(min(lanes, len(sized)))]
    loads = [0] * len(shares)
    for size, home in sized:
        lightest = loads.index(min(loads))
        loads[lightest] += max(size, 1)
        shares[lightest].extend(home)
    return shares


def act_count(homes: Sequence[Household]) -> int:
    """What a run's progress adds up to."""
    return sum(len(member.acts) for home in homes for member in home)


def _root(parents: dict[_Node, _Node], node: _Node) -> _Node:
    parents.setdefault(node, node)
    while parents[node] != node:
        parents[node] = parents[parents[node]]  # Halves the way for the next who asks.
        node = parents[node]
    return node
