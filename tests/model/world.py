"""Two phones, a network between them and a server: every state, and all that may happen in it."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeVar

from model.device import Device, Move, Phone, Rules, described, events_in, is_at_rest, moves, told
from model.judge import Books, Broken, Judge, Kind, Request, Token
from model.memory_queue import QueueState, new_state
from workevo_mobile.queue_sql import Contact
from workevo_mobile.settlement import Answer

T = TypeVar("T", bound=Hashable)


class Interned(Generic[T]):
    """Values by small numbers, so that a state of the world is a few numbers."""

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}
        self.values: list[T] = []

    def number(self, value: T) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number

    def __getitem__(self, number: int) -> T:
        return self.values[number]


NOBODY = -1


class State(NamedTuple):
    """All numbers are those of `Interned` values; NOBODY stands for none."""

    first: int
    second: int = NOBODY
    books: int = 0
    stray: int = NOBODY
    """A request that its phone waits for no more: it may arrive, as often as it likes."""
    backup: int = NOBODY
    copies_left: int = 0
    kinds: int = 0
    """What was tracked so far."""
    given_up: int = 0
    wiped: int = 0
    """Bits, by events: the tail that was only in a queue which a backup has overwritten is unknown (R14)."""


class Step(NamedTuple):
    words: str
    state: State | None
    broken: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What makes the world finite; losses, repeats, kills and delays are without bound."""

    events: int
    kinds: tuple[Kind, ...] = (Kind.GOOD,)
    copies: int = 1
    """How often a queue is cloned or a backup of it restored."""
    has_strays: bool = True
    has_backups: bool = True


class _LocalMove(NamedTuple):
    words: str
    device: int
    tracked: Kind | None
    given_up: int
    left_behind: int
    broken: str


@dataclass
class World:
    bounds: Bounds
    rules: Rules = field(default_factory=Rules)
    judge: Judge = field(default_factory=Judge)

    def __post_init__(self) -> None:
        self.devices: Interned[Device] = Interned()
        self.books: Interned[Books] = Interned()
        self.requests: Interned[Request] = Interned()
        self.queues: Interned[QueueState] = Interned()
        self.kinds: Interned[tuple[Kind, ...]] = Interned()
        self._moves: dict[tuple[int, int], list[_LocalMove]] = {}
        self._answers: dict[tuple[int, int], list[tuple[int, Answer | None, str]]] = {}
        self._arrivals: dict[tuple[int, int], list[tuple[int, int, str]]] = {}
        self._queued: list[int] = []
        self._held: dict[tuple[int, int], int] = {}
        self._at_rest: dict[int, bool] = {}
        self._open: dict[int, str] = {}

    def start(self) -> State:
        queue = new_state(b"E", Contact("v", None), marker="first")
        self.books.number(Books())
        self.kinds.number(())
        return State(first=self.devices.number(Device("A", queue)), copies_left=self.bounds.copies)

    # What may happen -------------------------------------------------------

    def steps(self, state: State) -> Iterator[Step]:
        yield from self._of_phone(state, "A", state.first, _put_first)
        if state.second != NOBODY:
            yield from self._of_phone(state, "B", state.second, _put_second)
        if state.stray != NOBODY:
            yield from self._of_stray(state)
        if state.copies_left:
            yield from self._copies(state)

    def _of_phone(
        self, state: State, name: str, number: int, put: Callable[[State, int], State]
    ) -> Iterator[Step]:
        for move in self._local_moves(number, state.kinds):
            words = f"{name} {move.words}"
            if move.broken:
                yield Step(words, None, move.broken)
                continue
            after = put(state, move.device)
            if move.tracked is not None:
                kinds = self.kinds.number((*self.kinds[state.kinds], move.tracked))
                after = after._replace(kinds=kinds)
            if move.given_up:
                after = after._replace(given_up=after.given_up | move.given_up)
            if move.left_behind != NOBODY:
                if state.stray != NOBODY:
                    continue
                after = after._replace(stray=move.left_behind)
            yield Step(words, after, "")
        flight = self.devices[number].flight
        if flight is not None and not flight.has_arrived:
            for books, device, broken in self._arrivals_of(number, state.books):
                words = f"the server answers {name}"
                if broken:
                    yield Step(words, None, broken)
                    continue
                after = put(state, device)._replace(books=books)
                yield Step(words, after, "")
                if self.bounds.has_strays and state.stray == NOBODY:
                    copy = self.requests.number(flight.request)
                    yield Step(
                        f"{words}, and a copy of the request stays on its way", after._replace(stray=copy), ""
                    )

    def _local_moves(self, number: int, kinds: int) -> list[_LocalMove]:
        count = len(self.kinds[kinds])
        key = number, count
        if key not in self._moves:
            possible = self.bounds.kinds if count < self.bounds.events else ()
            tokens = [Token(count, kind) for kind in possible]
            found = moves(self.devices[number], self.rules, tokens)
            self._moves[key] = [self._local(move) for move in found if self._is_possible(move)]
        return self._moves[key]

    def _is_possible(self, move: Move) -> bool:
        return move.left_behind is None or self.bounds.has_strays

    def _local(self, move: Move) -> _LocalMove:
        return _LocalMove(
            words=move.words,
            device=NOBODY if move.device is None else self.devices.number(move.device),
            tracked=None if move.tracked is None else move.tracked.kind,
            given_up=move.given_up,
            left_behind=NOBODY if move.left_behind is None else self.requests.number(move.left_behind),
            broken=move.broken,
        )

    # The server ------------------------------------------------------------

    def _answers_to(self, request: int, books: int) -> list[tuple[int, Answer | None, str]]:
        """Books, answer (None: refused as a whole) and what is broken, for each way the server may answer."""
        key = request, books
        if key not in self._answers:
            self._answers[key] = list(self._judged(self.requests[request], books))
        return self._answers[key]

    def _judged(self, request: Request, books: int) -> Iterator[tuple[int, Answer | None, str]]:
        kinds = {token.kind for _, token in request.events}
        if Kind.GIANT in kinds:
            yield books, None, ""
            return
        for is_ready in (True, False) if Kind.UNREADY in kinds else (True,):
            try:
                after, answer = self.judge.answer(self.books[books], request, is_ready=is_ready)
            except Broken as broken:
                yield books, None, str(broken)
            else:
                yield self.books.number(after), answer, ""

    def _arrivals_of(self, number: int, books: int) -> list[tuple[int, int, str]]:
        key = number, books
        if key not in self._arrivals:
            device = self.devices[number]
            flight = device.flight
            assert flight is not None
            request = self.requests.number(flight.request)
            self._arrivals[key] = [
                (
                    after,
                    self.devices.number(
                        replace(device, flight=replace(flight, answer=answer, refused=answer is None))
                    ),
                    broken,
                )
                for after, answer, broken in self._answers_to(request, books)
            ]
        return self._arrivals[key]

    def _of_stray(self, state: State) -> Iterator[Step]:
        words = f"a request that nobody waits for arrives: {described(self.requests[state.stray])}"
        for books, _, broken in self._answers_to(state.stray, state.books):
            yield Step(words, None if broken else state._replace(books=books), broken)
        yield Step("a request that nobody waits for is lost", state._replace(stray=NOBODY), "")

    # Clones and backups ----------------------------------------------------

    def _copies(self, state: State) -> Iterator[Step]:
        queue = self.queues.number(self.devices[state.first].queue)
        if self.bounds.has_backups and state.backup == NOBODY:
            yield Step("a backup of A is made", state._replace(backup=queue), "")
        if state.second == NOBODY:
            yield from self._copied(state, queue, "B", "B begins as a clone of A", _put_second)
        if state.backup == NOBODY or self.devices[state.first].flight is not None:
            return
        yield from self._copied(state, state.backup, "A", "the backup is restored onto A", _put_first)
        if state.second == NOBODY or self.devices[state.second].flight is None:
            yield from self._copied(state, state.backup, "B", "the backup is restored onto B", _put_second)

    def _copied(
        self, state: State, queue: int, name: str, words: str, put: Callable[[State, int], State]
    ) -> Iterator[Step]:
        overwritten = state.first if name == "A" else state.second
        begun = 0 if overwritten == NOBODY else self.devices[overwritten].epochs_begun
        for marker, told_marker in (
            ("first", "with the marker"),
            (f"other {name}", "where the marker differs"),
        ):
            phone = Phone(Device(name, self.queues[queue], begun), self.rules)
            phone.queue.opened(marker=marker)
            after = put(state, self.devices.number(phone.after()))
            after = after._replace(copies_left=state.copies_left - 1)
            if overwritten != NOBODY and self.devices[overwritten].queue.drops:
                after = after._replace(wiped=after.wiped | after.given_up)  # With what was not confessed yet.
            if after.copies_left == 0:
                after = after._replace(backup=NOBODY)
            yield Step(f"{words}, {told_marker}", after._replace(wiped=after.wiped | self.missing(after)), "")

    # What must hold --------------------------------------------------------

    def missing(self, state: State) -> int:
        """The events that were committed and are now neither queued, nor with the server, nor given up."""
        held = self._in_queue(state.first) | state.given_up | state.wiped
        if state.second != NOBODY:
            held |= self._in_queue(state.second)
        key = state.books, state.kinds
        known = self._held.get(key)
        if known is None:
            known = self._held[key] = self._in_books(*key)
        return ((1 << len(self.kinds[state.kinds])) - 1) & ~(held | known)

    def _in_queue(self, number: int) -> int:
        while len(self._queued) <= number:
            self._queued.append(events_in(self.devices[len(self._queued)].queue.rows))
        return self._queued[number]

    def _in_books(self, books_number: int, kinds_number: int) -> int:
        """A twin is there when one is; of archived names the server wants none, and counts sequences."""
        books = self.books[books_number]
        copies = (*books.stored, *books.failed, *books.archived)
        found = 0
        for token, _, _ in copies:
            found |= 1 << token.number
        alike = {Kind.TWIN} & {token.kind for token, _, _ in books.stored}
        if books.archived:
            alike.add(Kind.OLD)
        for number, kind in enumerate(self.kinds[kinds_number]):
            found |= (kind in alike) << number
        return found

    def broken(self, state: State) -> str:
        """What does not hold in this state; empty when all does."""
        missing = self.missing(state)
        if missing:
            number = missing.bit_length() - 1
            token = Token(number, self.kinds[state.kinds][number])
            return f"{told(token)} was committed, and is neither queued, nor with the server, nor given up"
        if state.wiped or state.stray != NOBODY or not self._is_at_rest(state.first):
            return ""
        if state.second != NOBODY and not self._is_at_rest(state.second):
            return ""
        return self._left_open(state.books)

    def _is_at_rest(self, number: int) -> bool:
        if number not in self._at_rest:
            self._at_rest[number] = is_at_rest(self.devices[number], self.rules)
        return self._at_rest[number]

    def _left_open(self, number: int) -> str:
        if number not in self._open:
            books = self.books[number]
            found = [
                f"{epoch.decode()} has {count} open though all phones are done"
                for epoch, _ in books.ledgers
                if (count := books.ledger(epoch).balance().open)
            ]
            self._open[number] = found[0] if found else ""
        return self._open[number]


def _put_first(state: State, device: int) -> State:
    return state._replace(first=device)


def _put_second(state: State, device: int) -> State:
    return state._replace(second=device)
