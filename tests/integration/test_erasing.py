"""What a deletion leaves (R32): nothing in any file, and a memory of it that outlives late uploads."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from workevo_server.adapters.sql import sqlite_database
from workevo_server.domain.errors import ContactSuppressed, NotFound
from workevo_server.domain.events import ContactClaim, ReceivedEvent
from workevo_server.domain.metadata import MetadataItem, Text
from workevo_server.domain.verdicts import Reason, Refusal, Verdict
from workevo_server.ports.contact_store import ErasureReceipt
from workevo_server.ports.people import ContactRef
from workevo_testing.people import NOW, SECOND, Town, open_town, operator, phone, proof, user_ref, visitor_ref
from workevo_testing.places import Place, on_sqlite
from workevo_testing.uploads import good_event, user, visitor

SENT_AT = NOW // SECOND - 1000


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    async with open_town(place) as opened:
        yield opened


def told(contact: ContactClaim, sequence: int, canary: str, *, name: str = "bought") -> ReceivedEvent:
    event = good_event(0, sequence, contact, name, SENT_AT + sequence)
    return replace(event, raw=f"raw {canary}".encode(), metadata=(MetadataItem("card", Text(canary)),))


async def delete(town: Town, ref: ContactRef, *, suppress: bool = False) -> ErasureReceipt:
    return await town.contacts.delete(town.workspace_id, ref, suppress=suppress, author=operator())


async def fill(town: Town) -> None:
    """Twelve people whose events lie between each other's, as they arrived in random order."""
    chance = random.Random(1)
    sequences = dict.fromkeys(range(20), 0)
    for _ in range(300):
        number = chance.randrange(20)
        events = []
        for _ in range(chance.randrange(1, 60)):
            sequences[number] += 1
            who, name = chance.randrange(12), f"n{chance.randrange(5)}" if chance.random() < 0.9 else ""
            event = good_event(0, sequences[number], user(f"u{who}"), name, chance.randrange(100_000))
            canary = f"CANARY{who}x" + "y" * chance.randrange(200)
            events.append(
                replace(
                    event,
                    raw=canary.encode() * chance.randrange(1, 9),
                    metadata=(MetadataItem("k", Text(canary)),),
                )
            )
        await town.send(*events, install=phone(number))


@on_sqlite
async def test_nothing_of_a_deleted_contact_is_found_in_any_file_of_the_store(town: Town) -> None:
    await fill(town)
    for who in range(12):
        assert town.found(f"CANARY{who}x") > 0
        receipt = await delete(town, user_ref(f"u{who}"))
        assert receipt.event_count > 0
        assert receipt.failed_event_count > 0
        assert town.found(f"CANARY{who}x") == 0
    assert town.place.problems() == ()


@on_sqlite
async def test_without_the_scrub_something_is_found(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what secure_delete alone leaves in the gaps of pages."""
    monkeypatch.setattr(sqlite_database, "scrub", lambda _file: 0)
    await fill(town)
    left = 0
    for who in range(12):
        await delete(town, user_ref(f"u{who}"))
        left += town.found(f"CANARY{who}x")
    assert left > 0


async def test_late_uploads_of_a_deleted_contact_store_nothing_of_it(town: Town) -> None:
    await town.send(told(user("u1"), 1, "CANARY"), told(user("u1"), 2, "CANARY", name=" "))
    receipt = await delete(town, user_ref("u1"))
    assert (receipt.contact_count, receipt.event_count, receipt.failed_event_count) == (1, 1, 1)
    malformed = replace(
        told(user("u1"), 6, "CANARY"), refusal=Refusal(reason=Reason.EVENT_MALFORMED, message="")
    )
    answer = await town.send(
        told(user("u1"), 1, "CANARY"),
        told(user("u1"), 3, "CANARY"),
        told(user("u1"), 4, "CANARY", name=" "),
        replace(told(user("u1"), 5, "CANARY"), metadata=(MetadataItem("CANARY", Text("x" * 256)),)),
        malformed,
    )
    assert [(v.verdict, v.refusal.reason if v.refusal else None) for v in answer.verdicts] == [
        (Verdict.DUPLICATE, None),
        (Verdict.REJECTED, Reason.CONTACT_ERASED),
        (Verdict.REJECTED, Reason.NAME_INVALID),
        (Verdict.REJECTED, Reason.CONTACT_ERASED),
        (Verdict.REJECTED, Reason.EVENT_MALFORMED),
    ]
    assert town.found("CANARY") == 0
    assert town.rows("SELECT count(*) FROM failed_events") == [(0,)]
    with pytest.raises(NotFound):
        await town.people.contact(town.workspace_id, user_ref("u1"))
    assert await town.log_in("v9", "u1", at=NOW - SECOND) is Reason.CONTACT_ERASED
    assert town.place.problems() == ()


@pytest.mark.parametrize("suppress", [False, True])
async def test_what_occurs_later_makes_a_new_contact_unless_the_deletion_asked_for_more(
    town: Town, suppress: bool
) -> None:
    await town.send(told(visitor("v1"), 1, "a"))
    await town.log_in("v1", "u1")
    await delete(town, user_ref("u1"), suppress=suppress)
    later = good_event(0, 2, visitor("v1"), "later", NOW // SECOND + 5)
    (verdict,) = (await town.send(later, at=NOW + 9 * SECOND)).verdicts
    assert verdict.verdict is (Verdict.REJECTED if suppress else Verdict.ACCEPTED)
    if not suppress:
        assert await town.names(visitor_ref("v1")) == ["later"]


@pytest.mark.parametrize("suppress", [False, True])
async def test_a_back_end_makes_nobody_anew_whose_deletion_asked_for_more(town: Town, suppress: bool) -> None:
    """R32: not by a log-in of the user, of the visitor that was merged into it, nor by a first contact."""
    await town.send(told(visitor("v1"), 1, "a"), told(visitor("v2"), 2, "a"))
    await town.log_in("v1", "u1")
    await delete(town, user_ref("u1"), suppress=suppress)

    async def logged_in(visitor_id: str, user_id: str) -> None:
        await town.contacts.make_user(
            town.workspace_id,
            visitor_ref(visitor_id),
            user_id=user_id,
            email="",
            occurred_at_micros=None,
            author=operator(NOW + SECOND),
        )

    async def contacted() -> None:
        await town.contacts.make_lead(
            town.workspace_id,
            visitor_ref("v1"),
            occurred_at_micros=None,
            author=operator(NOW + SECOND),
        )

    for again in (contacted(), logged_in("v1", "u2"), logged_in("v2", "u1")):
        if suppress:
            with pytest.raises(ContactSuppressed, match="asked to take nothing more"):
                await again
        else:
            await again
    made = [await town.store.people.contact(town.workspace_id, user_ref(each)) for each in ("u1", "u2")]
    assert [contact is None for contact in made] == [suppress, suppress]


async def test_forgetting_erases_the_install_and_its_own_visitor_and_no_user(town: Town) -> None:
    await town.send(told(visitor("mine"), 1, "CANARY"), told(visitor("mine"), 2, "CANARY", name=" "))
    await town.send(
        told(visitor("shared"), 3, "KEPT"), told(user("u1"), 4, "KEPT"), told(user("u1"), 5, "KEPT", name=" ")
    )
    await town.send(told(visitor("shared"), 1, "KEPT too"), install=phone(2))
    await town.send(told(visitor("merged"), 6, "KEPT"))
    await town.log_in("merged", "u1")
    unknown = replace(phone(7), epoch=b"x" * 16)
    assert (await town.forget(unknown)).event_count == 0
    assert (await town.forget(replace(phone(2), epoch=b"x" * 16))).event_count == 0

    receipt = await town.forget()

    assert (receipt.event_count, receipt.failed_event_count) == (1, 1)
    assert town.found("CANARY") == 0
    assert len(await town.names(user_ref("u1"))) == 2
    assert len(await town.names(visitor_ref("shared"))) == 2
    assert town.rows("SELECT count(*) FROM failed_events") == [(1,)]
    assert town.place.problems() == ()


async def test_proofs_are_off_reported_or_enforced_and_secrets_rotate(town: Town) -> None:
    """R19."""

    async def demand(what: str) -> None:
        await town.workspaces.update_settings(town.workspace_id, {"identity_verification": what})

    first = await town.secrets.create(town.workspace_id)
    second = await town.secrets.create(town.workspace_id)
    (verdict,) = (await town.send(told(user("u1"), 1, "a"))).verdicts
    assert verdict.verdict is Verdict.ACCEPTED
    await demand("report")
    (verdict,) = (await town.send(told(user("u1"), 2, "b"))).verdicts
    assert verdict.verdict is Verdict.ACCEPTED
    await demand("enforced")
    wrong = proof("u2", first.secret)
    (verdict,) = (await town.send(told(user("u1"), 3, "c"), proofs=[wrong])).verdicts
    assert (verdict.verdict, verdict.refusal and verdict.refusal.reason) == (
        Verdict.RETRY,
        Reason.IDENTITY_UNVERIFIED,
    )
    assert await town.log_in("v1", "u1", user_hash=wrong.user_hash) is Reason.IDENTITY_UNVERIFIED
    report = await town.secrets.report(town.workspace_id)
    assert [(each.user_id, each.claim_count) for each in report] == [("u1", 3)]
    for secret in (first, second):
        assert await town.log_in("v1", "u1", user_hash=proof("u1", secret.secret).user_hash) is None
    await town.secrets.revoke(town.workspace_id, first.secret_id)
    again = told(user("u1"), 3, "c")
    (verdict,) = (await town.send(again, proofs=[proof("u1", first.secret)])).verdicts
    assert verdict.verdict is Verdict.RETRY
    (verdict,) = (await town.send(again, proofs=[proof("u1", second.secret)])).verdicts
    assert verdict.verdict is Verdict.ACCEPTED


@on_sqlite
async def test_a_start_that_ends_before_its_scrub_leaves_it_to_the_next_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is due until it is done, whatever dies on the way (R32)."""

    class KilledError(Exception):
        pass

    def killed(_file: int) -> int:
        raise KilledError

    due = "SELECT count(*) FROM store_facts WHERE name = 'scrub_due'"
    async with open_town(place) as town:
        await town.send(told(user("u1"), 1, "CANARY"))
        await delete(town, user_ref("u1"))
    with monkeypatch.context() as dying:
        dying.setattr(sqlite_database, "scrub", killed)
        with pytest.raises(KilledError):
            async with open_town(place):
                pass
    assert place.rows(due) == [(1,)]
    async with open_town(place):
        assert place.rows(due) == [(0,)]
