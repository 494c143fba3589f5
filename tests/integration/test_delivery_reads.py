"""What the delivery page reads: the balance of all installs, those with trouble first, one by its id."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from workevo_server.domain import limits
from workevo_server.domain.events import DroppedRange, DropReason, Install
from workevo_server.domain.identifiers import InstallId
from workevo_server.domain.ledger import Balance
from workevo_server.ports.delivery import InstallRecord, InstallRow
from workevo_server.services.delivery import Delivery, InstallList
from workevo_testing.people import NOW, SECOND, Town, open_town, operator, phone, settle, user_ref
from workevo_testing.places import Place
from workevo_testing.uploads import bad_event, good_event, upload, user

SENT_AT = NOW // SECOND - 1000


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    async with open_town(place) as opened:
        yield opened


def delivery(town: Town) -> Delivery:
    return Delivery(reader=town.store.delivery, page_token_secret=town.store.page_token_secret)


async def send(
    town: Town,
    install: Install,
    *sequences: int,
    last_sequence: int = 0,
    dropped: tuple[int, int] | None = None,
    applied_through: int = 0,
) -> None:
    events = [
        good_event(index, sequence, user("u1"), "opened", SENT_AT + 100 * hash_of(install) + sequence)
        for index, sequence in enumerate(sequences)
    ]
    ranges = [
        DroppedRange(first_sequence=first, last_sequence=last, reason=DropReason.EXPIRED)
        for first, last in ([dropped] if dropped else [])
    ]
    await town.ingest.upload(
        upload(
            town.workspace_id,
            events,
            install=install,
            at_seconds=NOW // SECOND,
            last_sequence=last_sequence,
            applied_through=applied_through,
            dropped=ranges,
        )
    )


def of_documents(record: InstallRecord) -> Balance:
    """As its ledgers say, one by one, and not as the columns beside them do."""
    return sum((record.balance_of(epoch, ledger) for epoch, ledger in record.ledgers), Balance())


def hash_of(install: Install) -> int:
    """So that no two installs send the same event."""
    return sum(install.install_id.encode()) + install.epoch[0]


async def all_pages(read: Callable[[str], Awaitable[InstallList]]) -> list[str]:
    found, token = list[InstallRow](), ""
    while True:
        page = await read(token)
        found += page.installs
        token = page.next_page_token
        if not token:
            return [record.install.install_id for record in found]


async def troubled(town: Town) -> list[str]:
    return await all_pages(
        lambda token: delivery(town).troubled_installs(town.workspace_id, page_size=2, page_token=token)
    )


async def test_the_balance_is_the_sum_of_what_each_ledger_says(town: Town) -> None:
    assert await delivery(town).balance(town.workspace_id) == Balance()
    await send(town, phone(1), 1, 2, 4, last_sequence=9, dropped=(7, 8))
    await send(town, phone(2), 1, 2, 3, applied_through=3)
    await send(town, phone(2), 1)  # Again: outside the balance.
    await town.send(bad_event(0, 5), good_event(1, 6, user("u2"), "opened", SENT_AT), install=phone(3))
    await town.send(good_event(0, 7, user("u2"), "opened", SENT_AT), install=phone(3))  # A copy (R6).
    await town.contacts.delete(town.workspace_id, user_ref("u2"), suppress=False, author=operator())
    other = await settle(town.store, town.place, "other")
    await send(other, phone(1), 1)

    balance = await delivery(town).balance(town.workspace_id)

    page = await delivery(town).installs(town.workspace_id, page_size=50, page_token="")
    by_ledgers = sum(map(of_documents, page.installs), Balance())
    assert balance == replace(by_ledgers, rejected_by_reason={}, dropped_by_reason={})
    assert (balance.generated, balance.stored, balance.duplicate, balance.rejected) == (19, 7, 1, 1)
    assert (balance.dropped, balance.open, balance.resent, balance.erased) == (2, 8, 1, 1)
    assert balance.generated == (
        balance.stored
        + balance.duplicate
        + balance.archived
        + balance.rejected
        + balance.dropped
        + balance.open
    )
    assert (await delivery(town).balance(other.workspace_id)).stored == 1


async def test_the_balance_of_many_who_tell_huge_numbers_is_exact(town: Town) -> None:
    """Their sum is larger than any integer of SQLite's."""
    await send(town, phone(0), 1, last_sequence=limits.SEQUENCE_MAX)
    columns = "generated_count, open_count, document, started_at"
    town.place.execute(
        f"INSERT INTO ledgers (workspace_no, install_no, epoch, {columns}) SELECT workspace_no, n, epoch,"
        f" {columns} FROM ledgers, (WITH RECURSIVE c(n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM c"
        " WHERE n < 3000) SELECT n FROM c) AS others"
    )

    balance = await delivery(town).balance(town.workspace_id)

    assert balance.generated == 2002 * limits.SEQUENCE_MAX > 2**63
    assert balance.open == 2002 * (limits.SEQUENCE_MAX - 1)


async def test_installs_with_most_gaps_and_drops_come_first_each_once(town: Town) -> None:
    newer = replace(phone(2), epoch=b"n" * limits.EPOCH_BYTES)
    await send(town, phone(1), 1, 2)
    await send(town, phone(2), 1, last_sequence=9)  # 8 are open.
    await send(town, newer, 1, last_sequence=3)
    await send(town, phone(3), 4, dropped=(1, 2))  # 2 are dropped, and 1 is open.
    await send(town, phone(4), 1)
    await send(town, phone(5), 1, last_sequence=4)

    assert await troubled(town) == ["phone 2", "phone 5", "phone 3", "phone 4", "phone 1"]
    page = await delivery(town).troubled_installs(town.workspace_id, page_size=1, page_token="")
    (first,) = page.installs
    assert (first.install, first.queue_count, first.last_seen_micros) == (newer, 2, NOW)
    whole = (await delivery(town).ledger(town.workspace_id, newer.install_id)).install
    assert whole.balance() == of_documents(whole)
    assert first.balance == replace(of_documents(whole), rejected_by_reason={}, dropped_by_reason={})
    assert (first.balance.generated, first.balance.open) == (12, 10)

    await send(town, phone(2), *range(2, 10))
    assert await troubled(town) == ["phone 5", "phone 3", "phone 2", "phone 4", "phone 1"]
    other = await settle(town.store, town.place, "other")
    assert await troubled(other) == []
    assert town.place.problems() == ()


async def test_an_install_is_found_by_the_beginning_of_its_id(town: Town) -> None:
    ids = ["a", "ab", "abc", "abd", "b", "\U0010ffff", "nul\0", "ä"]
    for each in ids:
        await send(town, Install(install_id=InstallId(each), epoch=b"e" * limits.EPOCH_BYTES), 1)

    async def found(prefix: str) -> list[str]:
        return await all_pages(
            lambda token: delivery(town).find_installs(
                town.workspace_id, prefix, page_size=2, page_token=token
            )
        )

    assert await found("ab") == ["ab", "abc", "abd"]
    assert await found("abc") == ["abc"]
    assert await found("") == sorted(ids, key=str.encode)
    assert await found("nul\0") == ["nul\0"]
    assert await found("\ud800") == []
    assert await found("%") == []
    assert await found("x" * 10_000) == []
