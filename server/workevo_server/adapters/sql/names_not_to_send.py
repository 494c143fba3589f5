"""Which names devices are asked not to send (R23)."""

from typing import Any

from sqlalchemy import Connection, select

from workevo_server.adapters.sql.schema import event_definitions
from workevo_server.domain import limits
from workevo_server.ports.catalogue import NamesNotToSend

_definitions = event_definitions.c


def names_not_to_send(connection: Connection, workspace_no: int) -> NamesNotToSend:
    """Disabled ones first, then those archived last; the list is cut and not the name (R23)."""

    def spellings(query: Any, count_max: int) -> tuple[str, ...]:
        rows = connection.execute(query.limit(count_max)).scalars()
        return tuple(sorted(name.decode() for name in rows))

    mine = select(_definitions.name).where(_definitions.workspace_no == workspace_no)
    disabled = spellings(
        mine.where(_definitions.disabled).order_by(_definitions.definition_no), limits.CONFIG_NAMES_MAX
    )
    archived = spellings(
        mine.where(_definitions.archived_at.is_not(None)).order_by(
            _definitions.archived_at.desc(), _definitions.definition_no
        ),
        limits.CONFIG_NAMES_MAX - len(disabled),
    )
    return NamesNotToSend(archived=archived, disabled=disabled)
