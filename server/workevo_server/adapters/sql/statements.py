"""The statements of an upload, built once: building one costs more than running it.

Every one finds its rows by a key, however large the store is; a test explains them all.
"""

from sqlalchemy import (
    Boolean,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from workevo_server.adapters.sql.schema import (
    LEDGER_TOTALS,
    contacts,
    definition_counts,
    erased_ids,
    event_definitions,
    event_volumes,
    events,
    failed_event_usage,
    failed_events,
    installs,
    ledgers,
    store_facts,
    summaries,
    told_counts,
    unverified_claims,
    workspaces,
)
from workevo_server.adapters.sql.types import greatest, least
from workevo_server.domain.limits import SEQUENCE_MAX

WORKSPACE_NO = select(workspaces.c.workspace_no).where(workspaces.c.workspace_id == bindparam("workspace_id"))
WORKSPACE_NOS = select(workspaces.c.workspace_id, workspaces.c.workspace_no).where(
    workspaces.c.workspace_id.in_(bindparam("workspace_ids", expanding=True))
)
EXPIRED_BEFORE = select(workspaces.c.workspace_no, workspaces.c.expired_before).where(
    workspaces.c.workspace_no.in_(bindparam("workspace_nos", expanding=True))
)

_install = upsert(installs)
KEEP_INSTALL = _install.on_conflict_do_update(
    index_elements=[installs.c.workspace_no, installs.c.install_id],
    set_={
        "epoch": _install.excluded.epoch,
        "description": _install.excluded.description,
        "last_seen": greatest(installs.c.last_seen, _install.excluded.last_seen),
    },
)

INSTALL_NOS = select(installs.c.install_id, installs.c.install_no, installs.c.erased_at).where(
    installs.c.workspace_no == bindparam("workspace_no"),
    installs.c.install_id.in_(bindparam("install_ids", expanding=True)),
)

LEDGERS = select(ledgers.c.install_no, ledgers.c.epoch, ledgers.c.document).where(
    ledgers.c.workspace_no == bindparam("workspace_no"),
    ledgers.c.install_no.in_(bindparam("install_nos", expanding=True)),
    ledgers.c.epoch.in_(bindparam("epochs", expanding=True)),
)

_ledger = upsert(ledgers)
KEEP_LEDGER = _ledger.on_conflict_do_update(
    index_elements=[ledgers.c.workspace_no, ledgers.c.install_no, ledgers.c.epoch],
    set_={
        name: _ledger.excluded[name] for name in ("document", *(f"{total}_count" for total in LEDGER_TOTALS))
    },
)

DEFINITIONS = select(
    event_definitions.c.name_key, event_definitions.c.definition_no, event_definitions.c.archived_at
).where(
    event_definitions.c.workspace_no == bindparam("workspace_no"),
    event_definitions.c.name_key.in_(bindparam("name_keys", expanding=True)),
)

ACTIVE_DEFINITION_COUNT = select(func.count()).where(
    event_definitions.c.workspace_no == bindparam("workspace_no"), event_definitions.c.archived_at.is_(None)
)

NEW_DEFINITION = insert(event_definitions).returning(event_definitions.c.definition_no)

DEFINITION_COUNTS = (
    "stored_count",
    "duplicate_count",
    "archived_count",
    "dropped_archived_count",
    "dropped_disabled_count",
)
"""Each at most SEQUENCE_MAX: devices may tell any number of drops, and the sum stays an integer."""
DEFINITION_SIGHTS = ("seen_visitors", "seen_leads", "seen_users")

NEW_DEFINITION_COUNT = insert(definition_counts)
"""What PostgreSQL does instead: rows rolled up aside, as all uploads of a name would wait for one."""
COUNT_DEFINITION = (
    update(event_definitions)
    .where(event_definitions.c.definition_no == bindparam("no"))
    .values(
        {
            name: least(event_definitions.c[name] + bindparam(f"more_{name}"), SEQUENCE_MAX)
            for name in DEFINITION_COUNTS
        }
        | {
            name: or_(event_definitions.c[name], bindparam(f"now_{name}", type_=Boolean))
            for name in DEFINITION_SIGHTS
        }
        | {"last_received_at": greatest(event_definitions.c.last_received_at, bindparam("seen"))}
    )
)

_volume = upsert(event_volumes)
ADD_TO_VOLUME = _volume.on_conflict_do_update(
    index_elements=list(event_volumes.primary_key.columns),
    set_={"event_count": event_volumes.c.event_count + _volume.excluded.event_count},
)

_person_no = func.coalesce(contacts.c.person_no, contacts.c.contact_no)
_person, _member = contacts.alias("person"), contacts.alias("member")
_first_contact_of_members = (
    select(func.min(_member.c.first_contact_at))
    .where(or_(_member.c.contact_no == _person_no, _member.c.person_no == _person_no))
    .scalar_subquery()
)
_person_id_kind = select(_person.c.id_kind).where(_person.c.contact_no == _person_no).scalar_subquery()

CONTACTS = select(
    contacts.c.external_id,
    contacts.c.contact_no,
    _person_no,
    contacts.c.first_install_no,
    contacts.c.shared,
    case((_person_id_kind == "user", contacts.c.first_contact_at), else_=_first_contact_of_members),
).where(
    contacts.c.workspace_no == bindparam("workspace_no"),
    contacts.c.id_kind == bindparam("kind"),
    contacts.c.external_id.in_(bindparam("external_ids", expanding=True)),
)

ERASURES = select(erased_ids.c.id_hash, erased_ids.c.erased_at, erased_ids.c.suppressed).where(
    erased_ids.c.workspace_no == bindparam("workspace_no"),
    erased_ids.c.id_hash.in_(bindparam("id_hashes", expanding=True)),
)
ANY_ERASURE = (
    select(erased_ids.c.workspace_no).where(erased_ids.c.workspace_no == bindparam("workspace_no")).limit(1)
)

_erased = upsert(erased_ids)
KEEP_ERASURE = _erased.on_conflict_do_update(
    index_elements=[erased_ids.c.workspace_no, erased_ids.c.id_hash],
    set_={
        "erased_at": greatest(erased_ids.c.erased_at, _erased.excluded.erased_at),
        "suppressed": or_(erased_ids.c.suppressed, _erased.excluded.suppressed),
    },
)
"""A second deletion of an id never takes back what the first one asked for."""

NEW_CONTACT = insert(contacts).returning(contacts.c.contact_no)

NOTE_INSTALL = (
    update(contacts)
    .where(contacts.c.contact_no == bindparam("no"))
    .values(first_install_no=bindparam("first"), shared=bindparam("is_shared"))
)

NEW_EVENT = insert(events)

_summary = upsert(summaries)
ADD_TO_SUMMARY = _summary.on_conflict_do_update(
    index_elements=[summaries.c.workspace_no, summaries.c.contact_no, summaries.c.definition_no],
    set_={
        "event_count": summaries.c.event_count + _summary.excluded.event_count,
        "first_occurred_at": least(summaries.c.first_occurred_at, _summary.excluded.first_occurred_at),
        "last_occurred_at": greatest(summaries.c.last_occurred_at, _summary.excluded.last_occurred_at),
    },
)

_told_of_contact = (
    told_counts.c.workspace_no == bindparam("workspace_no"),
    told_counts.c.contact_no == bindparam("contact_no"),
    told_counts.c.definition_no.in_(bindparam("definition_nos", expanding=True)),
)
TOLD_COUNTS = select(
    told_counts.c.definition_no,
    told_counts.c.event_count,
    told_counts.c.first_occurred_at,
    told_counts.c.last_occurred_at,
).where(*_told_of_contact)
DROP_TOLD_COUNTS = delete(told_counts).where(*_told_of_contact)
_told = upsert(told_counts)
KEEP_TOLD_COUNT = _told.on_conflict_do_update(
    index_elements=[told_counts.c.workspace_no, told_counts.c.contact_no, told_counts.c.definition_no],
    set_={
        "event_count": _told.excluded.event_count,
        "first_occurred_at": _told.excluded.first_occurred_at,
        "last_occurred_at": _told.excluded.last_occurred_at,
    },
)
"""Set and not added, so that a call which comes twice changes nothing."""

NEXT_RECEIPTS = select(func.nextval("receipt_blocks"))
"""PostgreSQL's way to number what several processes receive; see receipts.py."""
FACT = select(store_facts.c.value).where(store_facts.c.name == bindparam("fact"))
_fact = upsert(store_facts)
KEEP_FACT = _fact.on_conflict_do_update(
    index_elements=[store_facts.c.name], set_={"value": _fact.excluded.value}
)

FAILED_EVENTS_OF_SEQUENCE = select(failed_events.c.event).where(
    failed_events.c.workspace_no == bindparam("workspace_no"),
    failed_events.c.install_no == bindparam("install_no"),
    failed_events.c.epoch == bindparam("epoch"),
    failed_events.c.sequence == bindparam("sequence"),
)
FAILED_EVENT_USAGE = (
    select(
        failed_event_usage.c.kept_bytes, failed_event_usage.c.kept_count, failed_event_usage.c.unkept_count
    )
    .where(
        failed_event_usage.c.workspace_no == bindparam("workspace_no"),
        failed_event_usage.c.install_no == bindparam("install_no"),
    )
    .with_for_update()
)
"""Held from then on, as what is read here is written back; there is no such lock on SQLite, and no need."""
START_FAILED_EVENT_USAGE = (
    upsert(failed_event_usage).values(kept_bytes=0, kept_count=0, unkept_count=0).on_conflict_do_nothing()
)
_usage = upsert(failed_event_usage)
KEEP_FAILED_EVENT_USAGE = _usage.on_conflict_do_update(
    index_elements=[failed_event_usage.c.workspace_no, failed_event_usage.c.install_no],
    set_={
        "kept_bytes": _usage.excluded.kept_bytes,
        "kept_count": _usage.excluded.kept_count,
        "unkept_count": _usage.excluded.unkept_count,
    },
)
NEW_FAILED_EVENT = insert(failed_events)

UNVERIFIED_USERS = select(unverified_claims.c.user_id).where(
    unverified_claims.c.workspace_no == bindparam("workspace_no")
)
_claim = upsert(unverified_claims)
COUNT_UNVERIFIED = _claim.on_conflict_do_update(
    index_elements=[unverified_claims.c.workspace_no, unverified_claims.c.user_id],
    set_={
        "claim_count": unverified_claims.c.claim_count + _claim.excluded.claim_count,
        "last_at": greatest(unverified_claims.c.last_at, _claim.excluded.last_at),
    },
)
