"""The life of a queued event, as it is decided and as it is drawn."""

from pathlib import Path

from workevo_mobile.drop_reason import DropReason
from workevo_mobile.lifecycle import DROPS, State, Turn, diagram

README = Path(__file__).parents[2] / "mobile_client" / "README.md"


def test_the_diagram_in_the_readme_is_made_from_the_table() -> None:
    assert f"```mermaid\n{diagram()}\n```\n" in README.read_text(), f"put this there:\n{diagram()}"


def test_every_reason_to_drop_is_drawn_and_ends_as_a_dropped_range() -> None:
    assert set(DROPS) == set(DropReason)
    assert all(turn.value.target is State.DROPPED for turn in DROPS.values())


def test_every_state_can_be_reached_and_left() -> None:
    reached, queue = {State.APP}, [State.APP]
    while queue:
        state = queue.pop()
        for turn in Turn:
            if state in turn.value.sources and turn.value.target not in reached:
                reached.add(turn.value.target)
                queue.append(turn.value.target)

    assert reached == set(State)
    assert {source for turn in Turn for source in turn.value.sources} == set(State)


def test_nothing_leaves_the_queue_but_by_a_verdict_or_told() -> None:
    ends = [turn for turn in Turn if turn.value.target is State.APP]

    assert ends == [Turn.SETTLED, Turn.TOLD, Turn.FORGOTTEN]


def test_the_diagram_can_be_drawn() -> None:
    """Mermaid ends a description at a colon or semicolon."""
    assert not any(mark in turn.value.words for turn in Turn for mark in ":;")
