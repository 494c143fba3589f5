"""How long a worker that keeps dying is left down: not at all at first, never for long, never in step."""

import random
from datetime import timedelta

from workevo_server.supervisor import PAUSE_FIRST, PAUSE_LONGEST, pause_before_start

FAILURES = range(1_000)


def test_after_its_first_failure_it_is_started_at_once() -> None:
    assert [pause_before_start(failures, chance=random.Random(1)) for failures in (0, 1)] == [
        timedelta(0)
    ] * 2


def test_the_pauses_grow_from_the_second_failure_on_and_never_beyond_the_longest() -> None:
    pauses = [pause_before_start(failures, chance=random.Random(1)) for failures in FAILURES]

    assert PAUSE_FIRST / 2 <= pauses[2] <= PAUSE_FIRST
    assert pauses == sorted(pauses)
    assert PAUSE_LONGEST / 2 <= pauses[-1] <= PAUSE_LONGEST


def test_siblings_that_fail_together_do_not_come_back_together() -> None:
    chance = random.Random(1)

    assert len({pause_before_start(10, chance=chance) for _ in FAILURES}) > len(FAILURES) / 2
