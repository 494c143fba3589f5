"""People, driven at random: whatever happens in whatever order, everyone sees what the rules say.

One machine does what devices, back ends and operators do to people: events tracked, sent,
sent late, sent again and given up; log-ins, first contacts, conversations, merges, splits;
names archived and taken back; settings changed; contacts deleted; failed events replayed.
After every step each profile, each ledger, the failed events, the catalogue and the lists of a real
store are those of `people_model`, which knows no SQL.

It is long because hypothesis wants all rules in one class; each rule is short, and reads by itself.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from model.lists import compare_lists
from model.people_model import FORKED, HOUR, NOBODY, Join, Kept, PeopleModel, Tracked
from workevo_server.domain import limits
from workevo_server.domain.errors import NotFound, WorkevoError
from workevo_server.domain.events import (
    ContactClaim,
    DroppedRange,
    DropReason,
    Install,
    ReceivedEvent,
    WireTime,
)
from workevo_server.domain.identifiers import InstallId
from workevo_server.domain.ledger import ARCHIVED, DUPLICATE, OPEN, STORED, Outcome, OutcomeKind
from workevo_server.domain.metadata import MetadataItem, Text
from workevo_server.domain.verdicts import EventVerdict, Reason, Verdict
from workevo_server.ports.audit import OPERATOR, Author
from workevo_server.ports.catalogue import DefinitionFilter
from workevo_server.ports.contact_store import Conversation
from workevo_server.ports.delivery import InstallRecord
from workevo_server.ports.failed_events import FailedFilter
from workevo_server.ports.people import ContactRef, StoredActivity, StoredEvent
from workevo_server.services.catalogue import Catalogue
from workevo_server.services.failed_events import FailedEvents
from workevo_testing.people import NOW, SECOND, Town, open_town, operator
from workevo_testing.places import FilePlace, Place
from workevo_testing.uploads import upload, user, visitor

PHONES = ("phone 0", "phone 1", "phone 2")
VISITORS = tuple(visitor(f"v{n}") for n in range(4))
USERS = (user("u0"), user("u1"))
EVERYONE = (*VISITORS, *USERS)
NAMES = ("opened", "Opened", "closed", "a.b", "bought", "left")
DAY = 24 * HOUR
AGES = (0, 0, HOUR, 10 * DAY, 89 * DAY, 90 * DAY, 91 * DAY, 400 * DAY)

phones, everyone = st.sampled_from(PHONES), st.sampled_from(EVERYONE)
visitors, users = st.sampled_from(VISITORS), st.sampled_from(USERS)
names, ages = st.sampled_from(NAMES), st.sampled_from(AGES)


def ref_of(claim: ContactClaim) -> ContactRef:
    return ContactRef(user_id=claim.user_id, visitor_id=claim.visitor_id)


def install_of(phone: str) -> Install:
    return Install(install_id=InstallId(phone), epoch=b"e" * limits.EPOCH_BYTES)


def received(index: int, event: Tracked) -> ReceivedEvent:
    """The serial number is its bytes, and its metadata, by which a timeline is told from its like."""
    seconds, micros = divmod(event.created_at, SECOND)
    value = Text("x" * 256 if event.is_bad else str(event.serial))
    return ReceivedEvent(
        index=index,
        sequence=event.sequence,
        raw=str(event.serial).encode(),
        name=event.name,
        contact=event.claim,
        created_at=WireTime(seconds=seconds, nanos=micros * 1000),
        metadata=(MetadataItem("serial", value),),
    )


def outcome_of(verdict: EventVerdict) -> Outcome | str:
    """What the model calls a verdict."""
    match verdict.verdict:
        case Verdict.RETRY:
            assert verdict.refusal is not None
            assert verdict.refusal.reason is Reason.EPOCH_FORKED
            return FORKED
        case Verdict.REJECTED:
            assert verdict.refusal is not None
            return Outcome(OutcomeKind.REJECTED, reason=verdict.refusal.reason)
        case _:
            return {
                Verdict.ACCEPTED: STORED,
                Verdict.DUPLICATE: DUPLICATE,
                Verdict.ARCHIVED: ARCHIVED,
            }[verdict.verdict]


class PeopleMachine(RuleBasedStateMachine):
    step_count = 0
    """Of all that ever ran."""

    def place_in(self, directory: Path) -> Place:
        """Where an example makes its store, which may use a directory of its own."""
        return FilePlace(directory / "workevo.db")

    @initialize(first_ages=st.lists(ages, min_size=1, max_size=3))
    def begin(self, first_ages: list[int]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="workevo-people-"))
        self.loop = asyncio.Runner()
        self.opening = open_town(self.place_in(self.directory))
        self.town: Town = self.run(self.opening.__aenter__())
        store = self.town.store
        self.catalogue = Catalogue(
            reader=store.catalogue,
            store=store.catalogue,
            key_ring=store.key_ring,
            page_token_secret=store.page_token_secret,
        )
        self.failed_events = FailedEvents(
            reader=store.failed_events,
            store=store.failed_events,
            key_ring=store.key_ring,
            people=store.people,
            read_event=self.read_event,
            read_json_event=self.read_event,
            page_token_secret=store.page_token_secret,
        )
        self.model = PeopleModel()
        self.now = NOW
        self.tracked: list[Tracked] = []
        self.sent: list[Tracked] = []
        self.unsent: dict[str, list[Tracked]] = {phone: [] for phone in PHONES}
        self.sequences = dict.fromkeys(PHONES, 0)
        self.merge_ids: dict[int, str] = {}
        for phone, claim in zip(PHONES, VISITORS, strict=False):
            told = [(claim, "opened", age) for age in first_ages] + [(USERS[0], "closed", first_ages[0])]
            self.track(phone, told, is_sent=True, fraction=0)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(work)

    def teardown(self) -> None:
        if hasattr(self, "town"):
            self.run(self.opening.__aexit__(None, None, None))
            self.loop.close()
            shutil.rmtree(self.directory)

    def both(self, really: Coroutine[Any, Any, Any], in_model: Callable[[], Any]) -> tuple[Any, Any]:
        """Both do it, or both refuse it for the same reason."""
        self.now += SECOND
        results = []
        attempts: tuple[Callable[[], Any], ...] = (lambda: self.run(really), in_model)
        for attempt in attempts:
            try:
                results.append(attempt())
            except WorkevoError as refusal:
                results.append(type(refusal))
        return results[0], results[1]

    def author(self) -> Author:
        return Author(made_by=OPERATOR, made_at_micros=self.now)

    def anyone(self, data: st.DataObject, *, kinds: Sequence[ContactClaim] = EVERYONE) -> ContactClaim:
        """Most of the time somebody who is there."""
        there = [claim for claim in kinds if claim in self.model.contacts]
        return data.draw(st.sampled_from([*there, *there, *there, *kinds]))

    def read_event(self, index: int, raw: bytes) -> ReceivedEvent:
        return received(index, self.tracked[int(raw)])

    # Devices

    def make(self, phone: str, claim: ContactClaim, name: str, created_at: int, *, is_bad: bool) -> Tracked:
        self.sequences[phone] += 1
        event = Tracked(
            serial=len(self.tracked),
            install=phone,
            sequence=self.sequences[phone],
            claim=claim,
            name=name,
            created_at=created_at,
            is_bad=is_bad,
        )
        self.tracked.append(event)
        return event

    def send(self, phone: str, *events: Tracked, dropped: tuple[int, ...] = ()) -> None:
        self.now += SECOND
        sent = replace(
            upload(
                self.town.workspace_id,
                [received(index, event) for index, event in enumerate(events)],
                install=install_of(phone),
                last_sequence=self.sequences[phone],
                dropped=[
                    DroppedRange(first_sequence=each, last_sequence=each, reason=DropReason.QUEUE_FULL)
                    for each in dropped
                ],
            ),
            received_at_micros=self.now,
        )
        answer = self.run(self.town.ingest.upload(sent))
        told = self.model.upload(
            phone, events, now=self.now, generated=self.sequences[phone], dropped=dropped
        )
        assert [outcome_of(verdict) for verdict in answer.verdicts] == told
        self.sent += events

    @rule(
        phone=phones,
        told=st.lists(st.tuples(everyone, names, ages), min_size=1, max_size=3),
        is_sent=st.sampled_from([True, True, False]),
        fraction=st.sampled_from([0, 0, 499_999, 500_000]),
    )
    def track(
        self, phone: str, told: list[tuple[ContactClaim, str, int]], is_sent: bool, fraction: int
    ) -> None:
        """A device's own visitor most of the time, as others' cannot log in on it (R31)."""
        events = []
        for claim, name, age in told:
            own = VISITORS[PHONES.index(phone)] if claim.user_id is None and age < DAY else claim
            events.append(self.make(phone, own, name, self.now - age + fraction, is_bad=False))
        if is_sent:
            self.send(phone, *events)
        else:
            self.unsent[phone] += events

    @rule(phone=phones, claim=st.sampled_from([*EVERYONE, NOBODY]), is_bad=st.booleans())
    def track_wrongly(self, phone: str, claim: ContactClaim, is_bad: bool) -> None:
        """Something of it is mended by another setting, and something by nothing."""
        self.change_settings(is_strict=True, names_max=500)
        event = self.make(phone, claim, "a.b", self.now, is_bad=False)
        self.send(phone, event, self.make(phone, claim, "opened", self.now, is_bad=is_bad))

    track_more = track  # It is what happens most.

    @precondition(lambda self: any(self.unsent.values()))
    @rule(count=st.integers(1, 4))
    def send_late(self, count: int) -> None:
        phone = max(PHONES, key=lambda each: len(self.unsent[each]))
        late, self.unsent[phone] = self.unsent[phone][:count], self.unsent[phone][count:]
        self.send(phone, *late)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), count=st.integers(1, 3))
    def send_again(self, data: st.DataObject, count: int) -> None:
        first = data.draw(st.sampled_from(self.sent))
        others = [event for event in self.sent if event.install == first.install]
        self.send(first.install, first, *others[-count:])

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), phone=phones)
    def track_the_same(self, data: st.DataObject, phone: str) -> None:
        """R6: the same name and second under a new sequence, by an alias where there is one."""
        like = data.draw(st.sampled_from(self.sent[-20:]))
        aliases = [each for each in self.model.members(like.claim) if each != like.claim]
        claim = data.draw(st.sampled_from([like.claim, *aliases, *aliases]))
        self.send(phone, self.make(phone, claim, like.name, like.created_at, is_bad=False))

    @precondition(lambda self: any(self.unsent.values()))
    @rule()
    def give_up(self) -> None:
        """A full queue: the event may come after all, from a copy of it (R14)."""
        phone = max(PHONES, key=lambda each: len(self.unsent[each]))
        self.send(phone, dropped=tuple(event.sequence for event in self.unsent[phone][:1]))

    @rule(phone=phones, who=users, claim=st.sampled_from([None, None, *VISITORS]))
    def log_in(self, phone: str, who: ContactClaim, claim: ContactClaim | None) -> None:
        claim = claim or VISITORS[PHONES.index(phone)]
        self.now += SECOND
        refusal = self.run(
            self.town.log_in(
                claim.visitor_id or "", who.user_id or "", install=install_of(phone), at=self.now
            )
        )
        assert refusal is self.model.identify(phone, claim, who, now=self.now)
        self.learn_merges()

    @rule(data=st.data(), phone=phones, who=users, name=names)
    def a_session_with_a_log_in(self, data: st.DataObject, phone: str, who: ContactClaim, name: str) -> None:
        """What apps do: the visitor is tracked, logs in, and the user is tracked, now and then the same."""
        own = VISITORS[PHONES.index(phone)]
        self.send(phone, self.make(phone, own, name, self.now, is_bad=False))
        self.log_in(phone, who, own)
        self.track_the_same(data, phone)

    # Back ends

    @rule(claim=visitors, who=users)
    def convert(self, claim: ContactClaim, who: ContactClaim) -> None:
        now = self.now + SECOND
        real, told = self.both(
            self.town.contacts.make_user(
                self.town.workspace_id,
                ref_of(claim),
                user_id=who.user_id or "",
                email="",
                occurred_at_micros=None,
                author=operator(now),
            ),
            lambda: self.model.make_user(claim, who, now=now),
        )
        assert isinstance(real, type) == isinstance(told, type)
        assert told in {None, real}
        self.learn_merges()

    @rule(claim=visitors, age=st.sampled_from([0, 0, HOUR, 10 * DAY]))
    def first_contact(self, claim: ContactClaim, age: int) -> None:
        now = self.now + SECOND
        real, told = self.both(
            self.town.contacts.make_lead(
                self.town.workspace_id, ref_of(claim), occurred_at_micros=now - age, author=operator(now)
            ),
            lambda: self.model.make_lead(claim, occurred_at=now - age),
        )
        assert (real if isinstance(real, type) else None) == told

    @rule(phone=phones, name=names)
    def a_past_before_the_first_contact(self, phone: str, name: str) -> None:
        """R17: some of it is shown, and some is not, one name not at all."""
        own = VISITORS[PHONES.index(phone)]
        past = [
            self.make(phone, own, name, self.now - age, is_bad=False)
            for age in (10 * DAY, 89 * DAY, 91 * DAY)
        ]
        past.append(self.make(phone, own, "left", self.now - 92 * DAY, is_bad=False))
        self.send(phone, *past)
        self.first_contact(own, age=0)

    @rule(data=st.data(), conversation=st.sampled_from(["c0", "c1"]), age=ages)
    def converse(self, data: st.DataObject, conversation: str, age: int) -> None:
        claim = self.anyone(data)
        now = self.now + SECOND
        real, told = self.both(
            self.town.contacts.record_conversation(
                self.town.workspace_id,
                ref_of(claim),
                Conversation(conversation_id=conversation, title=""),
                occurred_at_micros=now - age,
                now_micros=now,
            ),
            lambda: self.model.record_conversation(claim, conversation, occurred_at=now - age),
        )
        assert (real is NotFound) == (told is NotFound)

    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        """Most of the time what may be merged; chains of visitors among them."""
        there = list(self.model.contacts)
        pairs = [(a, b) for a in there for b in there if self.model.may_merge(a, b)]
        anything = [(self.anyone(data), self.anyone(data))]
        self.merge_two(*data.draw(st.sampled_from([*pairs, *anything])))

    def merge_two(self, claim: ContactClaim, into: ContactClaim) -> None:
        now = self.now + SECOND
        real, told = self.both(
            self.town.contacts.merge(
                self.town.workspace_id, ref_of(claim), ref_of(into), preview=False, author=operator(now)
            ),
            lambda: self.model.merge(claim, into, now=now),
        )
        assert told == (real if isinstance(real, type) else real.joining.merge_id != "")
        self.learn_merges()

    def learn_merges(self) -> None:
        """Only the store names merges; the newest of a person is the one that was just made."""
        for join in self.model.joins:
            if join.number not in self.merge_ids:
                page = self.run(
                    self.town.people.merges(
                        self.town.workspace_id, ref_of(join.claim), page_size=1, page_token=""
                    )
                )
                self.merge_ids[join.number] = page.merges[0].merge_id

    @rule(chain=st.permutations(VISITORS), is_undone=st.booleans())
    def merge_a_chain(self, chain: list[ContactClaim], is_undone: bool) -> None:
        """As far as it is allowed: one into the next, and that into a third (R16)."""
        first, second, third, _ = chain
        self.merge_two(first, second)
        self.merge_two(second, third)
        if is_undone and self.model.joins:
            self.split_one(self.model.joins[-1])

    @precondition(lambda self: self.model.joins)
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        """Most of the time in the middle of a chain, where it takes along what is below."""
        standing = [join for join in self.model.joins if join.split_at is None]
        chained = [join for join in standing if any(other.into == join.claim for other in standing)]
        self.split_one(
            data.draw(st.sampled_from([*self.model.joins, *standing, *chained, *chained, *chained]))
        )

    def split_one(self, join: Join) -> None:
        now = self.now + SECOND
        self.both(
            self.town.contacts.split(
                self.town.workspace_id, self.merge_ids[join.number], author=operator(now)
            ),
            lambda: self.model.split(join, now=now),
        )

    @rule(data=st.data(), suppress=st.sampled_from([False, False, False, True]))
    def delete(self, data: st.DataObject, suppress: bool) -> None:
        self.delete_one(self.anyone(data), suppress=suppress)

    def delete_one(self, claim: ContactClaim, *, suppress: bool) -> None:
        now = self.now + SECOND
        real, told = self.both(
            self.town.contacts.delete(
                self.town.workspace_id, ref_of(claim), suppress=suppress, author=operator(now)
            ),
            lambda: self.model.delete(claim, suppress=suppress, now=now),
        )
        if not isinstance(real, type):
            real = real.contact_count, real.event_count, real.failed_event_count, real.activity_count
        assert real == told

    # Operators

    @rule(data=st.data(), archived=st.sampled_from([True, True, False]))
    def archive(self, data: st.DataObject, archived: bool) -> None:
        there = [name.spelling for name in self.model.names.values() if name.is_archived is not archived]
        self.archive_one(data.draw(st.sampled_from([*there, *there, *NAMES])), archived=archived)

    def archive_one(self, name: str, *, archived: bool) -> None:
        change = self.catalogue.archive if archived else self.catalogue.unarchive
        real, told = self.both(
            change(self.town.workspace_id, name, author=self.author()),
            lambda: self.model.archive(name, archived=archived),
        )
        assert told in {None, real}
        assert (told is None) == (not isinstance(real, type))

    @rule(is_strict=st.booleans(), names_max=st.sampled_from([3, 500, 500]))
    def change_settings(self, is_strict: bool, names_max: int) -> None:
        told = {"key_charset": "strict" if is_strict else "any", "event_names_max": str(names_max)}
        self.run(self.town.workspaces.update_settings(self.town.workspace_id, told))
        self.model.is_strict, self.model.names_max = is_strict, names_max

    @precondition(lambda self: self.model.failed)
    @rule(is_mended=st.sampled_from([True, True, False]))
    def replay(self, is_mended: bool) -> None:
        if is_mended:
            self.change_settings(is_strict=False, names_max=500)
        page = self.run(
            self.failed_events.replay(
                self.town.workspace_id, FailedFilter(), page_size=500, page_token="", author=self.author()
            )
        )
        assert [outcome_of(verdict) for _, verdict in page.verdicts] == self.model.replay()

    @rule(hours=st.sampled_from([1, 30, 49]))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR

    # What must hold

    @invariant()
    def everyone_sees_what_the_rules_say(self) -> None:
        PeopleMachine.step_count += 1
        if hasattr(self, "town"):
            self.run(self.compare())

    async def compare(self) -> None:
        for claim in EVERYONE:
            if self.model.person(claim) == claim:
                await self.compare_profile(claim)
        await self.compare_ledgers()
        await self.compare_failed_events()
        await self.compare_definitions()
        await compare_lists(self.town, self.model, turn=PeopleMachine.step_count)

    async def compare_profile(self, person: ContactClaim) -> None:
        """Asked for by each alias in turn, as long as the machine runs."""
        workspace_id, reader = self.town.workspace_id, self.town.store.people
        members = self.model.members(person)
        alias = members[PeopleMachine.step_count % len(members)] if members else person
        contact = await reader.contact(workspace_id, ref_of(alias))
        if contact is None:
            assert not members
            return
        assert contact.user_id == (person.user_id or "")
        assert (contact.kind, contact.first_contact_micros) == (
            self.model.kind(person),
            self.model.first_contact(person),
        )
        assert contact.visitor_ids == tuple(each.visitor_id for each in members if each.visitor_id)
        summaries = await reader.event_summaries(workspace_id, contact.contact_id)
        summary = {
            each.name: (each.count, each.first_occurred_at_micros, each.last_occurred_at_micros)
            for each in summaries
        }
        assert summary == self.model.summary(person)
        lasts = [each.last_occurred_at_micros for each in summaries]
        assert lasts == sorted(lasts, reverse=True)
        entries = await reader.timeline(workspace_id, contact.contact_id, before=None, count_max=10_000)
        assert [self.entry(each) for each in entries] == [
            self.told_entry(each) for each in self.model.shown(person)
        ]

    def entry(self, entry: StoredEvent | StoredActivity) -> tuple[Any, ...]:
        if isinstance(entry, StoredActivity):
            told = entry.conversation_id, entry.from_kind, entry.merge_id
            return entry.kind, entry.occurred_at_micros, *told
        (serial,) = entry.metadata
        assert isinstance(serial.value, Text)
        return (
            int(serial.value.value),
            entry.name,
            entry.contact_kind,
            entry.occurred_at_micros,
            entry.received_at_micros,
            entry.created_at_micros,
            entry.install_id,
            entry.sequence,
        )

    def told_entry(self, entry: Any) -> tuple[Any, ...]:
        if not isinstance(entry, Kept):
            told = entry.conversation_id, entry.from_kind, self.merge_ids.get(entry.join, "")
            return entry.kind, entry.occurred_at, *told
        event = entry.event
        return (
            event.serial,
            self.model.spelling(event.name),
            entry.kind,
            entry.occurred_at,
            entry.received_at,
            event.created_at,
            event.install,
            event.sequence,
        )

    async def compare_ledgers(self) -> None:
        records = await self.town.store.delivery.installs(
            self.town.workspace_id, after_install_no=0, count_max=500
        )
        assert {record.install.install_id for record in records} == set(self.model.queues)
        for record in records:
            self.compare_ledger(record)

    def compare_ledger(self, record: InstallRecord) -> None:
        phone, ((epoch, ledger),) = record.install.install_id, record.ledgers
        queue, balance = self.model.queues[phone], ledger.balance()
        outcomes = {
            sequence: outcome
            for first, last, outcome in ledger.ranges()
            if outcome is not OPEN
            for sequence in range(first, last + 1)
        }
        assert outcomes == queue.outcomes
        assert (balance.generated, balance.resent) == (queue.generated, queue.resent)
        assert balance.open == queue.generated - len(queue.outcomes)
        closed = balance.stored + balance.duplicate + balance.archived + balance.rejected + balance.dropped
        assert balance.generated == closed + balance.open
        assert record.gone[epoch].erased == queue.erased
        present = sum(kept.event.install == phone for kept in self.model.events)
        assert balance.stored == present + queue.erased

    async def compare_failed_events(self) -> None:
        page = await self.failed_events.page(
            self.town.workspace_id, FailedFilter(), page_size=500, page_token=""
        )
        found = [(int(kept.record.raw), kept.record.reason) for kept in page.events]
        told = sorted(self.model.failed, key=lambda kept: (kept.received_at, kept.place), reverse=True)
        assert found == [(kept.event.serial, kept.reason) for kept in told]

    async def compare_definitions(self) -> None:
        page = await self.catalogue.definitions(
            self.town.workspace_id,
            which=DefinitionFilter.ALL,
            seen_kind=None,
            page_size=500,
            page_token="",
        )
        found = [
            (
                each.name,
                each.archived_at_micros is not None,
                each.stored_count,
                each.duplicate_count,
                each.archived_count,
            )
            for each in page.definitions
        ]
        assert found == [
            (name.spelling, name.is_archived, name.stored, name.duplicates, name.archived)
            for name in self.model.names.values()
        ]
