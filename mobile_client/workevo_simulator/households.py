"""Which devices must keep one time, and which lane they live in."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from workevo_simulator.recording import Row

RowsByDevice = Mapping[str, list[Row]]

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


def shared_out(groups: Iterable[RowsByDevice], *, lanes: int) -> list[dict[str, list[Row]]]:
    """One dictionary a lane, none empty: the largest group first, each to the lane with the fewest rows."""
    sized = sorted(((sum(map(len, group.values())), group) for group in groups), key=lambda each: -each[0])
    shares: list[dict[str, list[Row]]] = [{} for _ in range(min(lanes, len(sized)))]
    loads = [0] * len(shares)
    for size, group in sized:
        lightest = loads.index(min(loads))
        loads[lightest] += size
        shares[lightest].update(group)
    return shares


def _root(parents: dict[_Node, _Node], node: _Node) -> _Node:
    parents.setdefault(node, node)
    while parents[node] != node:
        parents[node] = parents[parents[node]]  # Halves the way for the next who asks.
        node = parents[node]
    return node
