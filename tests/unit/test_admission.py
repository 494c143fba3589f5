"""R11's order, R7, R14a, R6's settings and R10, over the pure functions alone."""

import itertools
import unicodedata
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest

from workevo_server.domain import limits
from workevo_server.domain.erasure import Erasure
from workevo_server.domain.events import DroppedRange, DropReason, Install, ReceivedEvent
from workevo_server.domain.identifiers import InstallId
from workevo_server.domain.metadata import MetadataItem, Text
from workevo_server.domain.verdicts import (
    EventVerdict,
    MatchedIdentity,
    Reason,
    Refusal,
    Verdict,
    WarningCode,
    is_retriable,
)
from workevo_server.domain.workspace import KeyCharset, SameInstallTwins, WorkspaceSettings
from workevo_server.ports.event_sink import UploadAnswer
from workevo_testing.sinks import PureSink
from workevo_testing.uploads import PHONE, bad_event, good_event, upload, user, visitor

DEFAULTS = WorkspaceSettings()
TABLET = Install(install_id=InstallId("tablet"), epoch=b"t" * limits.EPOCH_BYTES)


async def answer(
    sink: PureSink,
    *events: ReceivedEvent,
    settings: WorkspaceSettings = DEFAULTS,
    install: Install = PHONE,
    applied_through: int = 0,
    dropped: tuple[DroppedRange, ...] = (),
) -> UploadAnswer:
    sent = upload(
        sink.workspace_id, events, install=install, applied_through=applied_through, dropped=dropped
    )
    return await sink.append(sent, settings)


async def verdicts(
    sink: PureSink,
    *events: ReceivedEvent,
    settings: WorkspaceSettings = DEFAULTS,
    install: Install = PHONE,
) -> list[EventVerdict]:
    return list((await answer(sink, *events, settings=settings, install=install)).verdicts)


def event(sequence: int, name: str = "opened", created_at: int = 100) -> ReceivedEvent:
    return good_event(0, sequence, user("u1"), name, created_at)


def reason_of(verdict: EventVerdict) -> Reason | None:
    return verdict.refusal.reason if verdict.refusal else None


TOO_LARGE = Refusal(reason=Reason.EVENT_TOO_LARGE, message="An event has at most 32 KiB.")
MALFORMED = Refusal(reason=Reason.EVENT_MALFORMED, message="Its bytes do not parse.")

# What is wrong with an event, in the order R11 judges; each entry breaks one more thing.
FAULTS: list[tuple[Reason, dict[str, Any]]] = [
    (Reason.EVENT_TOO_LARGE, {"refusal": TOO_LARGE}),
    (Reason.SEQUENCE_INVALID, {"sequence": 0}),
    (Reason.NAME_INVALID, {"name": " "}),
    (Reason.CREATED_AT_INVALID, {"created_at": None}),
    (Reason.CONTACT_INVALID, {"contact": user("")}),
    (Reason.METADATA_KEY_INVALID, {"metadata": (MetadataItem("", Text("x")),)}),
]


@pytest.mark.parametrize(("reason", "fault"), FAULTS)
async def test_each_fault_alone_rejects_with_its_reason(reason: Reason, fault: dict[str, Any]) -> None:
    (verdict,) = await verdicts(PureSink(), replace(event(1), **fault))
    assert (verdict.verdict, reason_of(verdict)) == (Verdict.REJECTED, reason)


@pytest.mark.parametrize(("earlier", "later"), list(itertools.combinations(range(len(FAULTS)), 2)))
async def test_the_first_fault_in_the_order_of_r11_answers(earlier: int, later: int) -> None:
    broken = replace(event(1), **FAULTS[earlier][1], **FAULTS[later][1])
    (verdict,) = await verdicts(PureSink(), broken)
    assert (verdict.verdict, reason_of(verdict)) == (Verdict.REJECTED, FAULTS[earlier][0])


async def test_one_bad_event_costs_its_neighbours_nothing() -> None:
    events = [event(1), bad_event(1, 2), replace(event(3, "closed"), index=2)]
    told = [verdict.verdict for verdict in await verdicts(PureSink(), *events)]
    assert told == [Verdict.ACCEPTED, Verdict.REJECTED, Verdict.ACCEPTED]


@pytest.mark.parametrize("refusal", [TOO_LARGE, MALFORMED])
async def test_bytes_that_are_refused_stand_before_r7_and_are_counted_once(refusal: Refusal) -> None:
    sink = PureSink()
    broken = replace(event(1), refusal=refusal)
    for _ in range(2):
        (verdict,) = await verdicts(sink, broken)
        assert reason_of(verdict) is refusal.reason
    balance = await sink.balance(PHONE)
    assert (balance.rejected, balance.resent) == (1, 1)


async def test_an_archived_name_is_answered_archived_again_and_a_rejected_one_its_reason() -> None:
    sink = PureSink()
    await sink.archive("old")
    for _ in range(2):
        archived, rejected = await verdicts(sink, event(1, "old"), bad_event(1, 2))
        assert archived.verdict is Verdict.ARCHIVED
        assert (rejected.verdict, reason_of(rejected)) == (Verdict.REJECTED, Reason.NAME_INVALID)


async def test_a_repeat_gets_its_answer_whatever_was_set_in_between() -> None:
    """R7 stands before everything that settings can change."""
    sink = PureSink()
    await verdicts(sink, event(1, "price$changed"))
    strict = replace(DEFAULTS, key_charset=KeyCharset.STRICT)
    (again,) = await verdicts(sink, event(1, "price$changed"), settings=strict)
    assert (again.verdict, again.identity) == (Verdict.DUPLICATE, MatchedIdentity.TRANSPORT)
    (fresh,) = await verdicts(sink, event(2, "price$changed", 200), settings=strict)
    assert reason_of(fresh) is Reason.NAME_INVALID


async def test_another_event_under_a_stored_sequence_is_a_fork_and_is_not_lost() -> None:
    sink = PureSink()
    await verdicts(sink, event(1, "mine"))
    (forked,) = await verdicts(sink, event(1, "yours"))
    assert (forked.verdict, reason_of(forked)) == (Verdict.RETRY, Reason.EPOCH_FORKED)
    assert forked.retry_delay is not None
    (moved,) = await verdicts(sink, event(1, "yours"), install=replace(PHONE, epoch=b"2" * 16))
    assert moved.verdict is Verdict.ACCEPTED


async def test_an_event_that_cannot_be_compared_under_a_stored_sequence_is_a_fork() -> None:
    sink = PureSink()
    await verdicts(sink, event(1))
    (forked,) = await verdicts(sink, replace(event(1), created_at=None))
    assert reason_of(forked) is Reason.EPOCH_FORKED
    (forked,) = await verdicts(sink, replace(event(1), contact=user("")))
    assert reason_of(forked) is Reason.EPOCH_FORKED


async def test_a_folded_sequence_is_a_duplicate_unless_its_event_would_be_lost() -> None:
    """Beyond R14's sentence: see server/decisions/0002-folded-sequences-and-forks.md."""
    sink = PureSink()
    await verdicts(sink, event(1), bad_event(0, 2))
    await answer(sink, applied_through=2)
    (stored,) = await verdicts(sink, event(1))
    (rejected,) = await verdicts(sink, bad_event(0, 2))
    (other,) = await verdicts(sink, event(1, "the twin's"))
    assert (stored.verdict, rejected.verdict) == (Verdict.DUPLICATE, Verdict.DUPLICATE)
    assert reason_of(other) is Reason.EPOCH_FORKED


async def test_a_drop_gives_way_to_the_event_that_comes_after_all() -> None:
    sink = PureSink()
    gave_up = DroppedRange(first_sequence=1, last_sequence=2, reason=DropReason.EXPIRED)
    await answer(sink, dropped=(gave_up,))
    (verdict,) = await verdicts(sink, event(1))
    assert verdict.verdict is Verdict.ACCEPTED
    balance = await sink.balance(PHONE)
    assert (balance.stored, balance.dropped) == (1, 1)


async def test_copies_within_one_upload_count_across_aliases() -> None:
    sink = PureSink()
    await sink.merge(visitor_id="v1", user_id="u1", at_seconds=0)
    as_visitor = good_event(0, 1, visitor("v1"), "opened", 100)
    first, second = await verdicts(sink, as_visitor, replace(event(2), index=1))
    assert (first.verdict, second.verdict) == (Verdict.ACCEPTED, Verdict.DUPLICATE)
    assert second.identity is MatchedIdentity.PRODUCT


async def test_twins_of_one_install_are_kept_where_the_workspace_says_so() -> None:
    sink, keep = PureSink(), replace(DEFAULTS, same_install_twins=SameInstallTwins.KEEP)
    first, twin = await verdicts(sink, event(1), replace(event(2), index=1), settings=keep)
    (elsewhere,) = await verdicts(sink, event(1), settings=keep, install=TABLET)
    assert (first.verdict, twin.verdict) == (Verdict.ACCEPTED, Verdict.ACCEPTED)
    assert elsewhere.verdict is Verdict.DUPLICATE


async def test_no_window_means_no_copies() -> None:
    off = replace(DEFAULTS, product_identity_window=timedelta(0))
    told = await verdicts(PureSink(), event(1), replace(event(2), index=1), settings=off)
    assert [verdict.verdict for verdict in told] == [Verdict.ACCEPTED, Verdict.ACCEPTED]


async def test_without_a_window_an_upload_written_late_is_no_copy_either() -> None:
    """Receipt is stamped before the writer's turn, so an age may be negative."""
    sink, off = PureSink(), replace(DEFAULTS, product_identity_window=timedelta(0))
    await sink.append(upload(sink.workspace_id, [event(1)], at_seconds=2_000), off)
    told = await sink.append(upload(sink.workspace_id, [event(2)], at_seconds=1_000), off)
    assert told.verdicts[0].verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("field", ["name", "metadata"])
async def test_a_text_that_is_costly_to_normalise_is_refused_unnormalised(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    costly = "a" + "\u0315\u0300" * 8_000
    fault: dict[str, Any] = {"name": costly}
    if field == "metadata":
        fault = {"metadata": (MetadataItem(costly, Text("x")),)}
    normalized: list[int] = []
    normalize = unicodedata.normalize

    def noted(form: Literal["NFC"], text: str) -> str:
        normalized.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", noted)
    (verdict,) = await verdicts(PureSink(), replace(event(1), **fault))
    assert verdict.verdict is Verdict.REJECTED
    assert all(length <= limits.NAME_CODE_POINTS_MAX for length in normalized)


async def test_the_name_over_the_limit_is_refused_and_known_names_are_not() -> None:
    sink, two = PureSink(), replace(DEFAULTS, event_names_max=2)
    told = await verdicts(sink, event(1, "a"), event(2, "b"), event(3, "c"), event(4, "A", 200), settings=two)
    assert [reason_of(verdict) for verdict in told] == [None, None, Reason.EVENT_NAME_LIMIT, None]
    (later,) = await verdicts(sink, event(5, "d"), settings=two)
    assert reason_of(later) is Reason.EVENT_NAME_LIMIT


async def test_an_event_that_would_open_one_gap_too_many_is_put_off_and_not_refused() -> None:
    sink = PureSink()
    given_up = [
        DroppedRange(first_sequence=2 * n, last_sequence=2 * n, reason=DropReason.EXPIRED)
        for n in range(1, limits.LEDGER_GAPS_MAX + 1)
    ]
    await answer(sink, dropped=tuple(given_up))
    (verdict,) = await verdicts(sink, event(2 * limits.LEDGER_GAPS_MAX + 2, created_at=7))
    assert (verdict.verdict, reason_of(verdict)) == (Verdict.RETRY, Reason.TOO_MANY_GAPS)
    assert (await sink.balance(PHONE)).generated == 2 * limits.LEDGER_GAPS_MAX + 2
    (filling,) = await verdicts(sink, event(1, created_at=8))
    assert filling.verdict is Verdict.ACCEPTED


async def test_what_was_changed_rides_along_as_a_warning() -> None:
    keys = tuple(MetadataItem(f"k{n}", Text("v")) for n in range(limits.METADATA_KEYS_DEFAULT + 1))
    from_the_future = replace(event(1, created_at=2_000_000), metadata=keys)
    (verdict,) = await verdicts(PureSink(), from_the_future)
    assert verdict.verdict is Verdict.ACCEPTED
    assert [(warning.code, warning.fields) for warning in verdict.warnings] == [
        (WarningCode.METADATA_KEYS_DROPPED, ("k5",)),
        (WarningCode.CLOCK_UNUSABLE, ()),
    ]


def test_every_reason_says_whether_to_come_back() -> None:
    retriable = {reason for reason in Reason if is_retriable(reason)}
    assert retriable == {Reason.IDENTITY_UNVERIFIED, Reason.EPOCH_FORKED, Reason.TOO_MANY_GAPS}


def erased(sink: PureSink, *, at_seconds: int, suppressed: bool = False) -> None:
    """The contact u1 was deleted then."""
    at_micros = at_seconds * 1_000_000
    sink.erasures[user("u1")] = Erasure(erased_at_micros=at_micros, suppressed=suppressed)


async def test_what_occurred_before_its_contact_was_deleted_is_refused_and_later_is_not() -> None:
    """R32."""
    sink = PureSink()
    erased(sink, at_seconds=200)

    before, after = await verdicts(sink, event(1, created_at=199), event(2, created_at=200))

    assert (before.verdict, reason_of(before)) == (Verdict.REJECTED, Reason.CONTACT_ERASED)
    assert after.verdict is Verdict.ACCEPTED


async def test_of_a_suppressed_contact_nothing_is_taken_any_more() -> None:
    sink = PureSink()
    erased(sink, at_seconds=200, suppressed=True)

    (verdict,) = await verdicts(sink, event(1, created_at=10_000))

    assert reason_of(verdict) is Reason.CONTACT_ERASED


async def test_a_deletion_comes_before_what_else_is_wrong_with_the_metadata() -> None:
    sink = PureSink()
    erased(sink, at_seconds=200)

    (verdict,) = await verdicts(sink, replace(event(1), metadata=(MetadataItem("", Text("x")),)))

    assert reason_of(verdict) is Reason.CONTACT_ERASED


async def test_a_stored_event_that_was_deleted_since_is_a_duplicate_and_no_fork() -> None:
    """R14a: it went with its contact, and is not to come back."""
    sink = PureSink()
    await verdicts(sink, event(1, created_at=100))
    erased(sink, at_seconds=200)

    (again,) = await verdicts(sink, event(1, name="another", created_at=101))

    assert again.verdict is Verdict.DUPLICATE


async def test_what_is_old_enough_to_have_expired_is_no_fork() -> None:
    """R32, retention: what it would be compared with may be gone."""
    sink = PureSink()
    await verdicts(sink, event(1, created_at=100))
    sink.expired_before = 150 * 1_000_000

    (old,) = await verdicts(sink, event(1, "another", created_at=149))
    (young,) = await verdicts(sink, event(1, "another", created_at=150))

    assert old.verdict is Verdict.DUPLICATE
    assert reason_of(young) is Reason.EPOCH_FORKED


async def test_a_good_event_under_a_refused_sequence_is_a_fork_and_a_repeat_is_not() -> None:
    """R14a, decisions/0002: a cloned phone's event must not be lost under its twin's verdict."""
    sink = PureSink()
    bad = replace(event(1), name=" ", raw=b"the first one")
    await verdicts(sink, bad)

    (repeat,) = await verdicts(sink, bad)
    (twin,) = await verdicts(sink, replace(event(1), raw=b"another one"))

    assert (repeat.verdict, reason_of(repeat)) == (Verdict.REJECTED, Reason.NAME_INVALID)
    assert reason_of(twin) is Reason.EPOCH_FORKED


async def test_where_no_refused_event_is_kept_only_a_good_one_is_a_fork() -> None:
    sink = PureSink()
    bad = replace(event(1), name=" ", raw=b"the first one")
    await verdicts(sink, bad)
    sink.failed_bytes.clear()

    (repeat,) = await verdicts(sink, bad)
    (twin,) = await verdicts(sink, event(1))

    assert reason_of(repeat) is Reason.NAME_INVALID
    assert reason_of(twin) is Reason.EPOCH_FORKED


async def test_an_event_of_another_name_under_an_archived_sequence_is_a_fork() -> None:
    sink = PureSink()
    await sink.archive("old")
    await verdicts(sink, event(1, "old"))

    (repeat,) = await verdicts(sink, event(1, "old"))
    (twin,) = await verdicts(sink, event(1, "new"))
    (nameless,) = await verdicts(sink, replace(event(1), contact=user("")))

    assert repeat.verdict is Verdict.ARCHIVED
    assert reason_of(twin) is reason_of(nameless) is Reason.EPOCH_FORKED
