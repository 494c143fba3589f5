"""An install with any number of queues, which a public key is enough to make: no answer grows with them."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, insert, select

from workevo_server.adapters.sql import ledger_document
from workevo_server.adapters.sql.schema import ledgers
from workevo_server.domain import limits
from workevo_server.domain.events import DropReason
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.ledger import Balance, Ledger
from workevo_server.domain.verdicts import Reason
from workevo_server.domain.whereabouts import FindingKind
from workevo_server.services.delivery import Delivery
from workevo_server.transport.metrics import Metrics
from workevo_server.wiring import Services, wire_services
from workevo_testing.people import NOW, SECOND, Town, open_town, phone, user_ref
from workevo_testing.places import Place
from workevo_testing.plans import noted
from workevo_testing.uploads import good_event, user

MANY = 2_000
SENT_AT = NOW // SECOND - 1000
INSTALL = phone(1)


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    """Phone 1 has sent its fifth event; the first four are open."""
    async with open_town(place) as opened:
        await opened.send(good_event(0, 5, user("u1"), "opened", SENT_AT), install=INSTALL)
        yield opened


async def make_queues(town: Town, count: int, *, document: Callable[[str], str] = str) -> list[bytes]:
    """Newer ones with the ledger of the first, as uploads of their own would have made them."""
    epochs = [number.to_bytes(limits.EPOCH_BYTES) for number in range(count)]

    def make(connection: Connection) -> None:
        first = dict(connection.execute(select(ledgers)).mappings().one())
        first["document"] = document(first["document"])
        rows = [
            {**first, "epoch": epoch, "started_at": first["started_at"] + 1 + number // 3}
            for number, epoch in enumerate(epochs)
        ]
        connection.execute(insert(ledgers), rows)

    await town.store._database.transact(make, town.workspace_id)
    return epochs


@contextmanager
def bounded(
    town: Town, monkeypatch: pytest.MonkeyPatch, *, documents_max: int, statements_max: int
) -> Iterator[None]:
    """How much is read meanwhile, however much there is."""
    decoded: list[str] = []

    def decode(document: str) -> Ledger:
        decoded.append(document)
        return whole(document)

    whole = ledger_document.decode
    with monkeypatch.context() as patched, noted(town.store) as statements:
        patched.setattr(ledger_document, "decode", decode)
        yield
    assert len(decoded) <= documents_max
    assert len(statements) <= statements_max, "\n\n".join(text for text, _ in statements)


def services(town: Town) -> Services:
    return wire_services(town.store, simulated_clock=False, metrics=Metrics(version="test"))


def totals(count: int) -> Balance:
    return Balance(generated=5 * count, stored=count, open=4 * count)


async def every_epoch(delivery: Delivery, of: WorkspaceId) -> list[list[bytes]]:
    """By page."""
    pages: list[list[bytes]] = []
    token = ""
    while True:
        page = await delivery.ledger(of, INSTALL.install_id, page_token=token)
        pages.append([epoch for epoch, _ in page.install.ledgers])
        token = page.next_page_token
        if not token:
            return pages


async def test_of_two_thousand_queues_some_are_read_and_all_are_summed_up(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = [INSTALL.epoch, *await make_queues(town, MANY)]
    delivery, of = services(town).delivery, town.workspace_id

    with bounded(town, monkeypatch, documents_max=limits.LEDGER_QUEUES_MAX, statements_max=2):
        page = await delivery.ledger(of, INSTALL.install_id)
    assert [epoch for epoch, _ in page.install.ledgers] == epochs[-limits.LEDGER_QUEUES_MAX :]
    assert (page.install.queue_count, page.install.balance()) == (MANY + 1, totals(MANY + 1))

    with bounded(town, monkeypatch, documents_max=limits.LISTED_QUEUES_MAX, statements_max=2):
        (listed,) = (await delivery.installs(of, page_size=0, page_token="")).installs
    assert (listed.queue_count, listed.balance()) == (MANY + 1, totals(MANY + 1))

    for read in (delivery.troubled_installs, lambda of, **page: delivery.find_installs(of, "phone", **page)):
        with bounded(town, monkeypatch, documents_max=0, statements_max=5):
            (row,) = (await read(of, page_size=0, page_token="")).installs
        assert (row.queue_count, row.balance) == (MANY + 1, totals(MANY + 1))


async def test_page_by_page_every_queue_is_told_once(town: Town) -> None:
    epochs = [INSTALL.epoch, *await make_queues(town, 2 * limits.LEDGER_QUEUES_MAX)]
    delivery = services(town).delivery

    pages = await every_epoch(delivery, town.workspace_id)

    assert [len(page) for page in pages] == [50, 50, 1]
    assert [epoch for page in reversed(pages) for epoch in page] == epochs
    alone = await delivery.queue(town.workspace_id, INSTALL.install_id, epochs[7])
    assert [epoch for epoch, _ in alone.ledgers] == [epochs[7]]
    assert alone.balance() == totals(len(epochs))
    assert (await delivery.queue(town.workspace_id, INSTALL.install_id, b"none")).ledgers == []


async def test_long_ledgers_come_fewer_at_once_and_their_reasons_in_no_list(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = limits.LEDGER_QUEUES_CHARACTERS_MAX * 2 // 3
    await make_queues(town, 3, document=lambda text: text + " " * long)
    delivery = services(town).delivery

    assert [len(page) for page in await every_epoch(delivery, town.workspace_id)] == [1, 1, 2]
    with bounded(town, monkeypatch, documents_max=0, statements_max=2):
        (listed,) = (await delivery.installs(town.workspace_id, page_size=0, page_token="")).installs
    assert listed.balance() == totals(4)


async def test_an_event_is_looked_for_in_some_queues_at_once_and_in_the_one_that_is_named(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_queues(town, MANY)
    whereabouts, of = services(town).whereabouts, town.workspace_id

    with bounded(town, monkeypatch, documents_max=limits.FOUND_QUEUES_MAX, statements_max=5):
        found = await whereabouts.by_sequence(of, INSTALL.install_id, 5)
    assert len(found) == limits.FOUND_QUEUES_MAX
    assert all(each.install is not None and each.install.older is not None for each in found)

    with bounded(town, monkeypatch, documents_max=1, statements_max=5):
        (own,) = await whereabouts.by_sequence(of, INSTALL.install_id, 5, epoch=INSTALL.epoch.hex())
    assert own.kind is FindingKind.STORED
    assert own.install is not None
    assert (own.install.queue_count, own.install.older) == (MANY + 1, None)

    with bounded(town, monkeypatch, documents_max=1, statements_max=5):
        (never,) = await whereabouts.by_sequence(of, INSTALL.install_id, 6)
    assert never.kind is FindingKind.NEVER_SEEN

    with bounded(town, monkeypatch, documents_max=1, statements_max=25):
        (stored,) = await whereabouts.by_person(of, user_ref("u1"), "opened", SENT_AT * SECOND)
    assert stored.kind is FindingKind.STORED


def test_a_balance_says_how_much_of_it_has_no_reason() -> None:
    told = Balance(
        rejected=3,
        dropped=2,
        rejected_by_reason={Reason.NAME_INVALID: 1},
        dropped_by_reason={DropReason.EXPIRED: 2},
    )
    assert told.untold() == (2, 0)
