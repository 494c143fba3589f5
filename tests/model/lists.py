"""Holds what the console lists to what the rules say: people by kind, id and event, installs in numbers."""

from collections.abc import Mapping
from dataclasses import replace

from model.people_model import PeopleModel
from workevo_server.domain.events import ContactClaim, ContactKind
from workevo_server.domain.ledger import Balance
from workevo_server.domain.naming import name_key
from workevo_server.ports.delivery import InstallRecord, InstallRow, TroublePlace
from workevo_server.ports.people import Contact
from workevo_server.ports.people_search import PeopleFilter, PersonRow
from workevo_testing.people import Town
from workevo_testing.uploads import user, visitor

PAGE_SIZE = 2  # Small, so that most lists go over several pages.


Ids = frozenset[ContactClaim]
"""All that a person is known by."""


async def compare_lists(town: Town, model: PeopleModel, *, turn: int) -> None:
    """Of kinds and ids some in turn, as this runs after every step of a machine."""
    persons = {frozenset(model.members(claim)): model.person(claim) for claim in model.contacts}
    everyone = await found(town, PeopleFilter())
    assert {
        ids: (row.contact.kind, row.event_count, row.last_occurred_at_micros) for ids, row in everyone.items()
    } == {ids: expected(model, person) for ids, person in persons.items()}
    kind = list(ContactKind)[turn % len(ContactKind)]
    of_kind = await found(town, PeopleFilter(kind=kind))
    assert set(of_kind) == {ids for ids, person in persons.items() if model.kind(person) is kind}
    for claim in list(model.contacts)[turn % 3 :: 3]:  # R16: whoever is looked for by any id is found.
        by_id = await found(town, PeopleFilter(text=claim.user_id or claim.visitor_id or ""))
        assert frozenset(model.members(claim)) in by_id
    for name in (name.spelling for name in model.names.values()):
        did = await found(town, PeopleFilter(event_name=name_key(name)))
        assert set(did) == {ids for ids, person in persons.items() if name in model.summary(person)}
        both = await found(town, PeopleFilter(event_name=name_key(name), kind=kind))
        assert set(both) == set(did) & set(of_kind)
    await compare_installs(town)


def expected(model: PeopleModel, person: ContactClaim) -> tuple[ContactKind, int, int | None]:
    summary = model.summary(person).values()
    last = max((last for _, _, last in summary), default=None)
    return model.kind(person), sum(count for count, _, _ in summary), last


async def found(town: Town, narrowed: PeopleFilter) -> Mapping[Ids, PersonRow]:
    """All pages; nobody is on two of them."""
    rows, beyond = list[PersonRow](), None
    while True:
        page = await town.store.people_search.find_people(
            town.workspace_id, narrowed, beyond=beyond, count_max=PAGE_SIZE
        )
        rows += page.people
        beyond = page.next_place
        if beyond is None:
            break
    by_ids = {ids_of(row.contact): row for row in rows}
    assert len(by_ids) == len(rows)
    return by_ids


def ids_of(contact: Contact) -> Ids:
    users = [user(contact.user_id)] if contact.user_id else []
    return frozenset([*users, *map(visitor, contact.visitor_ids)])


async def compare_installs(town: Town) -> None:
    """What is told in numbers is what the ledgers say, document by document."""
    reader, of = town.store.delivery, town.workspace_id
    ledgers = {
        record.install_no: record for record in await reader.installs(of, after_install_no=0, count_max=500)
    }
    balances = {
        no: replace(_of_documents(record), rejected_by_reason={}, dropped_by_reason={})
        for no, record in ledgers.items()
    }
    listed, beyond = list[tuple[TroublePlace, InstallRow]](), None
    while page := await reader.troubled_installs(of, beyond=beyond, count_max=PAGE_SIZE):
        listed += page
        beyond = page[-1][0]
    assert await reader.balance(of) == sum(balances.values(), Balance())
    assert {row.install_no: row.balance for _, row in listed} == balances
    assert len(listed) == len(balances)
    places = [(place.trouble_count, place.install_no) for place, _ in listed]
    assert places == sorted(places, reverse=True)
    for place, row in listed:
        queues = [ledger.balance() for _, ledger in ledgers[row.install_no].ledgers]
        assert place.trouble_count == max(queue.open + queue.dropped for queue in queues)


def _of_documents(record: InstallRecord) -> Balance:
    return sum((record.balance_of(epoch, ledger) for epoch, ledger in record.ledgers), Balance())
