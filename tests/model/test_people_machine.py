"""People, driven at random: whatever happens in whatever order, everyone sees what the rules say.

`people_machine` says what happens and compares; here it runs, and here it is shown that it finds faults.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from model.people_machine import PHONES, USERS, VISITORS, PeopleMachine
from model.people_model import HOUR
from workevo_server.adapters.sql import ledger_document, people, people_search, person
from workevo_server.adapters.sql.erasing import Erasing
from workevo_server.adapters.sql.known_world import KnownWorld
from workevo_server.adapters.sql.merging import Merging
from workevo_server.domain import admission
from workevo_server.domain.ledger import DUPLICATE, Ledger, Outcome
from workevo_server.domain.verdicts import EventVerdict, Verdict
from workevo_testing.places import DatabasePlace, Place
from workevo_testing.postgres import PostgresCluster

STEPS_SHORT, EXAMPLES_SHORT = 40, 3
STEPS_SHORT_MIN = 60  # So many are taken however early examples end.
STEPS_LONG, EXAMPLES_LONG = 100, 320  # Some examples end before their steps are used up.
STEPS_CONTROL = 60  # It ends with the first step that shows the fault.


class PeopleOnPostgres(PeopleMachine):
    """On a database of its own each time; `cluster` is what makes them."""

    cluster: ClassVar[PostgresCluster]

    def place_in(self, directory: Path) -> Place:  # noqa: ARG002 - it needs no directory.
        return DatabasePlace(self.cluster.make_database())


@pytest.fixture(params=["sqlite", "postgresql"])
def machine(request: pytest.FixtureRequest) -> type[PeopleMachine]:
    if request.param == "sqlite":
        return PeopleMachine
    PeopleOnPostgres.cluster = request.getfixturevalue("postgres")
    return PeopleOnPostgres


def driven(
    machine: type[PeopleMachine] = PeopleMachine,
    *,
    examples: int = EXAMPLES_SHORT,
    steps: int = STEPS_SHORT,
    shrinks: bool = True,
) -> None:
    phases = (Phase.generate, Phase.shrink) if shrinks else (Phase.generate,)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            phases=phases,
            report_multiple_bugs=False,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(300)
def test_everyone_sees_what_the_rules_say(machine: type[PeopleMachine]) -> None:
    before = PeopleMachine.step_count
    driven(machine)
    assert PeopleMachine.step_count - before >= STEPS_SHORT_MIN


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_everyone_sees_what_the_rules_say_over_20000_steps(machine: type[PeopleMachine]) -> None:
    before = PeopleMachine.step_count
    driven(machine, examples=EXAMPLES_LONG, steps=STEPS_LONG)
    assert PeopleMachine.step_count - before >= 20_000


# The controls: each fault, planted into the server, is found by the same machine.


def split_forgets_an_alias(planted: pytest.MonkeyPatch) -> None:
    """What was merged below the contact that is split off stays behind."""
    planted.setattr(Merging, "_below", staticmethod(lambda _apart, _members: []))


def summaries_miss_merged_visitors(planted: pytest.MonkeyPatch) -> None:
    sums = people._sums
    planted.setattr(people, "_sums", lambda who: sums(replace(who, with_events=who.with_events[:1])))


def archived_event_is_stored(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(admission._Court, "_archive", admission._Court._store)


def repeat_is_counted_again_in_the_ledger(planted: pytest.MonkeyPatch) -> None:
    known = admission._Court._known

    def known_and_counted(court: Any, candidate: Any, outcome: Outcome) -> EventVerdict:
        verdict = known(court, candidate, outcome)
        if verdict.verdict is Verdict.DUPLICATE:
            court._ledger.folded.update([DUPLICATE])
        return verdict

    planted.setattr(admission._Court, "_known", known_and_counted)


def deletion_forgets_its_hash(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(Erasing, "_keep_hash", lambda _erasing, _contact: None)


def copies_under_aliases_are_not_looked_for(planted: pytest.MonkeyPatch) -> None:
    """R6: each contact for itself."""
    copies = KnownWorld.copies

    def own_copies(world: KnownWorld, workspace_no: int, identity: Any) -> Any:
        own = world.contacts.get((workspace_no, identity.contact))
        found = copies(world, workspace_no, identity)
        return [copy for copy in found if own is not None and copy.contact_no == own.contact_no]

    planted.setattr(KnownWorld, "copies", own_copies)


def lead_shows_all_its_past(planted: pytest.MonkeyPatch) -> None:
    """R17."""
    planted.setattr(person, "shown_from", lambda _kind, _first_contact: None)


def replay_leaves_the_sequence_rejected(planted: pytest.MonkeyPatch) -> None:
    """R13."""
    planted.setattr(Ledger, "move", lambda _ledger, _sequence, _before, _after: None)


def who_did_it_is_listed_under_each_alias(planted: pytest.MonkeyPatch) -> None:
    """R16: once a person."""
    is_wanted = people_search._Search._is_wanted

    def under_each(search: Any, _place: int, who: int, rows: Any, done: Any) -> bool:
        return is_wanted(
            search,
            max((row.contact_no for row in rows if row.contact_no in done), default=0),
            who,
            rows,
            done,
        )

    planted.setattr(people_search._Search, "_is_wanted", under_each)


def lead_did_what_its_profile_does_not_show(planted: pytest.MonkeyPatch) -> None:
    """R17."""
    planted.setattr(people_search, "shown_from_of", lambda _person_no, _members: None)


def totals_stay_as_they_were(planted: pytest.MonkeyPatch) -> None:
    nothing = dict.fromkeys(ledger_document.totals(Ledger()), 0)
    planted.setattr(ledger_document, "totals", lambda _ledger: nothing)


FAULTS: tuple[Callable[[pytest.MonkeyPatch], None], ...] = (
    split_forgets_an_alias,
    summaries_miss_merged_visitors,
    archived_event_is_stored,
    repeat_is_counted_again_in_the_ledger,
    deletion_forgets_its_hash,
    copies_under_aliases_are_not_looked_for,
    lead_shows_all_its_past,
    replay_leaves_the_sequence_rejected,
    who_did_it_is_listed_under_each_alias,
    lead_did_what_its_profile_does_not_show,
    totals_stay_as_they_were,
)


def a_life(machine: PeopleMachine) -> Iterator[None]:
    """Some of everything, in an order in which each fault shows; a step at a time."""
    v0, v1, v2, _ = VISITORS
    phone_0, phone_1, _ = PHONES
    machine.begin([0, HOUR])
    yield
    machine.a_past_before_the_first_contact(phone_0, "bought")
    yield
    machine.merge_two(v1, v2)
    yield
    machine.merge_two(v2, v0)
    yield
    machine.split_one(machine.model.joins[-1])
    yield
    machine.merge_two(v2, USERS[0])
    yield
    again = machine.make(phone_1, v1, "closed", machine.now, is_bad=False)
    machine.send(phone_1, again)
    yield
    copy = machine.make(phone_1, USERS[0], "closed", again.created_at, is_bad=False)
    machine.send(phone_1, copy)
    yield
    machine.send(phone_1, again)
    yield
    machine.track_wrongly(phone_0, v0, is_bad=True)
    yield
    machine.replay(is_mended=True)
    yield
    machine.archive_one("opened", archived=True)
    yield
    machine.send(phone_1, machine.make(phone_1, v1, "opened", machine.now, is_bad=False))
    yield
    late = machine.make(phone_1, v1, "late", machine.now, is_bad=False)
    machine.delete_one(v1, suppress=False)
    yield
    machine.send(phone_1, late)
    yield


def live() -> None:
    machine = PeopleMachine()
    try:
        for _ in a_life(machine):
            machine.everyone_sees_what_the_rules_say()
    finally:
        machine.teardown()


def test_a_life_that_has_some_of_everything_is_as_the_rules_say() -> None:
    live()


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_the_control_each_planted_fault_shows_in_a_life(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)

    with pytest.raises(AssertionError):
        live()


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_the_control_each_planted_fault_is_found_at_random(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)

    with pytest.raises(AssertionError):
        driven(examples=EXAMPLES_LONG, steps=STEPS_CONTROL, shrinks=False)
