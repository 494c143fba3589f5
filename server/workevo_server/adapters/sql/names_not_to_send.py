"""Which names devices are asked not to send (R23)."""

from collections import defaultdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, literal, select, union_all

from workevo_server.adapters.sql.schema import event_definitions
from workevo_server.domain import limits
from workevo_server.ports.catalogue import NamesNotToSend

_definitions = event_definitions.c


def names_not_to_send(connection: Connection, workspace_no: int) -> NamesNotToSend:
    found = names_by_workspace(connection, _definitions.workspace_no == workspace_no)
    return found.get(workspace_no, NamesNotToSend())


def names_by_workspace(connection: Connection, *within: ColumnElement[bool]) -> dict[int, NamesNotToSend]:
    """By workspace_no, in one statement for however many; those that ask for none are left out.

    Disabled ones first, then those archived last; the list is cut and not the name (R23).
    """
    ranked = union_all(
        _ranked("disabled", [_definitions.disabled, *within], [_definitions.definition_no]),
        _ranked(
            "archived",
            [_definitions.archived_at.is_not(None), *within],
            [_definitions.archived_at.desc(), _definitions.definition_no],
        ),
    ).subquery()
    rows: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(select(ranked).where(ranked.c.place <= limits.CONFIG_NAMES_MAX)):
        rows[row.workspace_no].append(row)
    return {workspace_no: _cut(of_one) for workspace_no, of_one in rows.items()}


def _ranked(why: str, conditions: list[ColumnElement[bool]], order: list[ColumnElement[Any]]) -> Select[Any]:
    place = func.row_number().over(partition_by=_definitions.workspace_no, order_by=order)
    return select(
        _definitions.workspace_no, _definitions.name, literal(why).label("why"), place.label("place")
    ).where(*conditions)


def _cut(rows: list[Row[Any]]) -> NamesNotToSend:
    disabled = [row.name.decode() for row in rows if row.why == "disabled"]
    room = limits.CONFIG_NAMES_MAX - len(disabled)
    archived = [row.name.decode() for row in rows if row.why == "archived" and row.place <= room]
    return NamesNotToSend(archived=tuple(sorted(archived)), disabled=tuple(sorted(disabled)))
