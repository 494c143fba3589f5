"""A fleet before it lives: drawn from the seed alone, gapless weather, believable days."""

import itertools
import random
from collections import Counter

import pytest

from workevo_simulator import agenda
from workevo_simulator.agenda import BackUp, LogIn, LogOut, Restore, Span, Track
from workevo_simulator.app_life import sessions
from workevo_simulator.crew import Crew, Member
from workevo_simulator.limits import RUN_BEGINS_MICROS as BEGINS
from workevo_simulator.scenario import Faults, Kind, Network, People, Scenario, load_scenario
from workevo_simulator.weather import Spell, State, Weather, forecast

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR
WEEK = 7 * DAY
STORMY = Network(
    tunnels_per_day=9, flights_per_week=4, offline_nights=0.5, flapping_per_day=4, slow_per_day=4
)


def crew(scenario: Scenario, *, seed: int = 1, days: int = 7) -> Crew:
    return Crew(scenario=scenario, seed=seed, from_micros=BEGINS, until_micros=BEGINS + days * DAY)


def hostile() -> Scenario:
    return load_scenario("hostile")[1]


def members(made: Crew, count: int) -> list[Member]:
    return list(itertools.chain.from_iterable(made.households(count)))


def test_a_seed_draws_the_same_fleet_again_and_another_one_another() -> None:
    assert members(crew(hostile()), 60) == members(crew(hostile()), 60)
    assert members(crew(hostile()), 60) != members(crew(hostile(), seed=2), 60)


def test_one_more_phone_changes_no_other() -> None:
    assert members(crew(hostile()), 60)[:40] == members(crew(hostile()), 40)


def test_there_are_as_many_phones_as_asked_for() -> None:
    assert len(members(crew(hostile()), 123)) == 123


def test_every_kind_of_trouble_comes_up_in_a_hostile_week() -> None:
    acts = Counter(type(act.what) for member in members(crew(hostile()), 400) for act in member.acts)

    assert {kind for kind in agenda.What.__args__ if not acts[kind]} == {agenda.TrackAs}


def test_nothing_happens_after_the_end() -> None:
    made = crew(hostile(), days=2)

    assert all(
        BEGINS - HOUR <= act.at_micros < made.until_micros for m in members(made, 200) for act in m.acts
    )


def test_a_clone_begins_with_the_backup_of_its_original() -> None:
    scenario = Scenario(about="x", kinds={"phone": Kind(faults=Faults(clones=1))})

    first, clone = crew(scenario).households(2)[0]

    restored = clone.acts[0]
    assert restored.what == Restore(first.name)
    assert all(act.at_micros >= restored.at_micros for act in clone.acts)
    assert any(act.what == BackUp() and act.at_micros < restored.at_micros for act in first.acts)


def test_two_who_share_a_phone_log_in_by_turns() -> None:
    scenario = Scenario(about="x", kinds={"tablet": Kind(sessions_per_day=4, people=People(shared=1))})

    (tablet,) = crew(scenario).households(1)[0]

    users = [act.what.user_id for act in tablet.acts if isinstance(act.what, LogIn)]
    assert len(set(users)) == 2
    assert all(a != b for a, b in itertools.pairwise(users))
    assert not any(isinstance(act.what, LogOut) for act in tablet.acts)


def test_a_session_is_one_walk_through_the_app_and_never_overlaps_the_next() -> None:
    lived = list(
        sessions(
            random.Random(1),
            from_micros=BEGINS,
            until_micros=BEGINS + WEEK,
            per_day=5,
            events_mean=8,
            day_starts_micros=BEGINS,
        )
    )

    assert 20 < len(lived) < 45
    assert {session.steps[0].name for session in lived} == {"opened-app"}
    names = Counter(step.name for session in lived for step in session.steps)
    assert names["viewed-screen"] > names["purchased-item"] > 0
    for session, following in itertools.pairwise(lived):
        times = [step.at_micros for step in session.steps]
        assert times == sorted(set(times))
        assert times[-1] < session.ends_micros <= following.steps[0].at_micros


def test_most_people_sleep_at_night() -> None:
    span = Span(from_micros=BEGINS, until_micros=BEGINS + 4 * WEEK, day_starts_micros=BEGINS)
    acts = agenda.agenda(
        Kind(sessions_per_day=6), random.Random(3), span, name="p", users=(), weather=Weather([])
    )
    hours = Counter((act.at_micros - BEGINS) % DAY // HOUR for act in acts if isinstance(act.what, Track))

    assert sum(hours[hour] for hour in range(6)) < sum(hours.values()) / 12


@pytest.mark.parametrize("seed", range(20))
def test_weather_has_no_gaps_and_the_worst_holds(seed: int) -> None:
    drawn = forecast(
        STORMY, random.Random(seed), from_micros=BEGINS, until_micros=BEGINS + WEEK, day_starts_micros=BEGINS
    )

    assert drawn.spells[0].from_micros == BEGINS
    assert drawn.spells[-1].until_micros == BEGINS + WEEK
    for spell, following in itertools.pairwise(drawn.spells):
        assert spell.from_micros < spell.until_micros == following.from_micros
        assert spell.state is not following.state or spell.period_micros != following.period_micros
    assert {spell.state for spell in drawn.spells} == set(State)


def test_a_flapping_network_comes_and_goes() -> None:
    weather = Weather([Spell(0, 100, State.FLAPPING, 10)])

    assert [weather.is_up(at) for at in (0, 9, 10, 19, 20)] == [True, True, False, False, True]


def test_before_and_after_all_weather_the_network_is_good() -> None:
    weather = Weather([Spell(10, 20, State.OFFLINE)])

    assert [weather.is_up(at) for at in (9, 10, 19, 20)] == [True, False, False, True]
