"""Breadth first through every state of a world: the first broken one is reached by a shortest trace."""

import gc
import time
from dataclasses import dataclass

from model.world import State, World


@dataclass(frozen=True, slots=True)
class Trace:
    """How a promise breaks, step by step."""

    steps: tuple[str, ...]
    broken: str

    def __str__(self) -> str:
        numbered = [f"{number:3}. {words}" for number, words in enumerate(self.steps, 1)]
        return "\n".join([*numbered, f"     => {self.broken}"])


@dataclass(frozen=True, slots=True)
class Found:
    state_count: int
    step_count: int
    seconds: float
    depth: int
    """Of the state that is farthest from the start."""
    trace: Trace | None

    def __str__(self) -> str:
        reached = f"{self.state_count:,} states, {self.step_count:,} steps, depth {self.depth}"
        return f"{reached}, {self.seconds:.1f} s"


def search(world: World) -> Found:
    """Visit every state, or end at the first where a promise does not hold."""
    began = time.perf_counter()
    gc_was_on = gc.isenabled()
    gc.disable()  # Millions of small tuples, none of them in a circle.
    try:
        return _search(world, began)
    finally:
        if gc_was_on:
            gc.enable()


def _search(world: World, began: float) -> Found:
    start = world.start()
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    level, depth, step_count = [start], 0, 0
    trace: Trace | None = None
    while level and trace is None:
        following: list[State] = []
        for state in level:
            for words, after, broken in world.steps(state):
                step_count += 1
                if after is not None:
                    if after in came_from:
                        continue
                    came_from[after] = (state, words)
                    following.append(after)
                    broken = world.broken(after)
                if broken:
                    trace = Trace((*_way_to(state, came_from), words), broken)
                    break
            if trace is not None:
                break
        level = following
        depth += bool(following)
    return Found(len(came_from), step_count, time.perf_counter() - began, depth, trace)


def _way_to(state: State, came_from: dict[State, tuple[State, str] | None]) -> list[str]:
    words: list[str] = []
    step = came_from[state]
    while step is not None:
        words.append(step[1])
        step = came_from[step[0]]
    return words[::-1]
