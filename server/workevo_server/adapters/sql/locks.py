"""What a transaction holds of a store that other processes write too, in one order for all.

    installs ─▶ contacts ─▶ new ids ─▶ names ─▶ unread ─▶ failed events ─▶ their usage ─▶ the rest

Within each by number, so that two transactions never wait for each other. Rows are
locked rather than keys where there are rows: they cost no room in the lock table. A
deletion writes ledgers before it holds what nobody can read, which may stay with it for
long; no upload waits for it there with what it needs, as both hold the installs first.
On SQLite the transaction holds the whole file, and nothing here does anything.
"""

import hashlib
import struct
from collections.abc import Collection, Iterable

from sqlalchemy import BigInteger, Connection, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from workevo_server.adapters.sql.database import TryAgain
from workevo_server.adapters.sql.schema import contacts, installs
from workevo_server.domain.events import ContactClaim

_NAMES_CLASS = 0x57_4E  # Apart from what else takes advisory locks in this database.
_UNREAD_CLASS = 0x57_55
NEW_IDS_MAX = 1000  # Beyond it the unique key alone keeps two from making one contact, by a second try.

_PERSONS_OF = select(contacts.c.contact_no, contacts.c.person_no).where(
    contacts.c.contact_no == func.any(bindparam("nos", type_=ARRAY(BigInteger)))
)
_HOLD_CONTACTS = (
    select(contacts.c.contact_no, contacts.c.person_no)
    .where(contacts.c.contact_no == func.any(bindparam("nos", type_=ARRAY(BigInteger))))
    .order_by(contacts.c.contact_no)
    .with_for_update()
)
_MEMBERS = select(contacts.c.contact_no).where(
    or_(
        contacts.c.contact_no == func.any(bindparam("nos", type_=ARRAY(BigInteger))),
        contacts.c.person_no == func.any(bindparam("nos", type_=ARRAY(BigInteger))),
    )
)
_HOLD_INSTALLS = (
    select(installs.c.install_no)
    .where(installs.c.install_no == func.any(bindparam("nos", type_=ARRAY(BigInteger))))
    .order_by(installs.c.install_no)
    .with_for_update()
)
_keys = func.unnest(bindparam("keys", type_=ARRAY(BigInteger))).column_valued("key")
_HOLD_KEYS = select(func.pg_advisory_xact_lock(_keys))


def is_shared(connection: Connection | AsyncConnection) -> bool:
    """Whether other processes may write while this transaction runs."""
    return connection.dialect.name == "postgresql"


def hold_persons(connection: Connection, persons: dict[int, int]) -> None:
    """Nobody adds to these contacts or merges them until the transaction ends.

    `persons` says whom each contact was last seen to be. Raises TryAgain when that is
    so no longer, or one is gone.
    """
    if not (persons and is_shared(connection)):
        return
    rows = connection.execute(_HOLD_CONTACTS, {"nos": sorted({*persons, *persons.values()})})
    now = {row.contact_no: row.person_no or row.contact_no for row in rows}
    if any(now.get(contact_no) != person_no for contact_no, person_no in persons.items()):
        raise TryAgain


def hold_members(connection: Connection, contact_nos: Iterable[int]) -> None:
    """Nobody changes who these persons are, with all contacts that are them, until the transaction ends."""
    nos = sorted(set(contact_nos))
    if not (nos and is_shared(connection)):
        return
    found = connection.execute(_PERSONS_OF, {"nos": nos})
    persons = sorted({row.person_no or row.contact_no for row in found})
    members = connection.execute(_MEMBERS, {"nos": persons}).scalars().all()
    held = {row.contact_no for row in connection.execute(_HOLD_CONTACTS, {"nos": sorted(members)})}
    if held != set(connection.execute(_MEMBERS, {"nos": persons}).scalars()):
        raise TryAgain


def hold_installs(connection: Connection, install_nos: Collection[int]) -> None:
    if install_nos and is_shared(connection):
        connection.execute(_HOLD_INSTALLS, {"nos": sorted(install_nos)}).all()


def hold_new_ids(connection: Connection, workspace_no: int, claims: Iterable[ContactClaim]) -> None:
    """Whoever makes a contact of one of these ids next is this transaction."""
    if not is_shared(connection):
        return
    keys = sorted({_key(workspace_no, claim) for claim in claims})[:NEW_IDS_MAX]
    if keys:
        connection.execute(_HOLD_KEYS, {"keys": keys}).all()


def hold_names(connection: Connection, workspace_no: int) -> None:
    """Whoever adds a name to the workspace's catalogue, or takes one back, is this transaction (R10)."""
    if is_shared(connection):
        connection.execute(select(func.pg_advisory_xact_lock(_NAMES_CLASS, workspace_no)))


def hold_unread(connection: Connection, workspace_no: int) -> None:
    """What deletes in the workspace waits for this transaction, which keeps what a back end sent and nobody
    can read; others that keep some do not (R32)."""
    if is_shared(connection):
        connection.execute(select(func.pg_advisory_xact_lock_shared(_UNREAD_CLASS, workspace_no)))


def hold_unread_off(connection: Connection, workspace_no: int) -> None:
    """Whoever keeps what a back end sent and nobody can read waits, and then knows of this deletion."""
    if is_shared(connection):
        connection.execute(select(func.pg_advisory_xact_lock(_UNREAD_CLASS, workspace_no)))


def _key(workspace_no: int, claim: ContactClaim) -> int:
    text = f"{workspace_no} {claim.user_id is not None} {claim.user_id or claim.visitor_id}"
    (key,) = struct.unpack(">q", hashlib.blake2b(text.encode(), digest_size=8).digest())
    return int(key)
