"""Who changed whom is noted with the change (R32), by our own id of the contact and by nothing of its own."""

from collections.abc import AsyncIterator

import pytest

from workevo_server.domain.errors import MergeRefused, NotFound
from workevo_server.ports.people import ContactRef
from workevo_testing.people import NOW, Town, open_town, operator, user_ref, visitor_ref
from workevo_testing.places import Place
from workevo_testing.uploads import good_event, user, visitor

Noted = tuple[str, str, str | None, str | None]
VISITOR, USER, EMAIL = "visitor-canary", "user-canary", "canary@example.org"


@pytest.fixture
async def town(place: Place) -> AsyncIterator[Town]:
    async with open_town(place) as opened:
        yield opened


async def noted(town: Town) -> list[Noted]:
    """What was noted since the workspace was made, oldest first."""
    entries = await town.store.audit.audit_entries(town.workspace_id, before_entry_no=None, count_max=100)
    told = [(entry.action, entry.subject, entry.old, entry.new) for entry in reversed(entries)]
    return [each for each in told if each[0].startswith("contact.")]


async def contact_id(town: Town, ref: ContactRef) -> str:
    return (await town.people.contact(town.workspace_id, ref)).contact_id


async def tracked(town: Town) -> tuple[str, str]:
    """A visitor and a user, by our ids of them."""
    await town.send(good_event(0, 1, visitor(VISITOR), "a", 1), good_event(1, 2, user(USER), "b", 2))
    return await contact_id(town, visitor_ref(VISITOR)), await contact_id(town, user_ref(USER))


async def merged(town: Town) -> str:
    joined = await town.contacts.merge(
        town.workspace_id, visitor_ref(VISITOR), user_ref(USER), preview=False, author=operator()
    )
    return joined.joining.merge_id


async def test_a_conversion_is_noted_once_for_each_kind_that_somebody_becomes(town: Town) -> None:
    visitor_id, _ = await tracked(town)
    for _ in range(2):
        await town.contacts.make_lead(
            town.workspace_id, visitor_ref(VISITOR), occurred_at_micros=None, author=operator()
        )
        await town.contacts.make_user(
            town.workspace_id,
            visitor_ref(VISITOR),
            user_id=USER,
            email=EMAIL,
            occurred_at_micros=None,
            author=operator(),
        )
    assert await noted(town) == [
        ("contact.convert", visitor_id, "VISITOR", "LEAD"),
        ("contact.convert", visitor_id, "LEAD", "USER"),
    ]


async def test_a_merge_and_a_split_are_noted_and_a_preview_or_a_refusal_is_not(town: Town) -> None:
    visitor_id, user_id = await tracked(town)
    await town.contacts.merge(
        town.workspace_id, visitor_ref(VISITOR), user_ref(USER), preview=True, author=operator()
    )
    with pytest.raises(MergeRefused):
        await town.contacts.merge(
            town.workspace_id, user_ref(USER), visitor_ref(VISITOR), preview=False, author=operator()
        )
    merge_id = await merged(town)
    assert await merged(town) == ""
    for _ in range(2):
        await town.contacts.split(town.workspace_id, merge_id, author=operator())
    assert await noted(town) == [
        ("contact.merge", visitor_id, None, user_id),
        ("contact.split", visitor_id, user_id, None),
    ]


@pytest.mark.parametrize("suppress", [False, True])
async def test_a_deletion_is_noted_with_who_asked_for_it_and_for_how_much(town: Town, suppress: bool) -> None:
    _, user_id = await tracked(town)
    for refused in (False, True):
        delete = town.contacts.delete(
            town.workspace_id, user_ref(USER), suppress=suppress, author=operator(NOW + 7)
        )
        if refused:
            with pytest.raises(NotFound):
                await delete
        else:
            await delete
    assert await noted(town) == [("contact.delete", user_id, None, "suppress" if suppress else None)]
    (newest, *_) = await town.store.audit.audit_entries(town.workspace_id, before_entry_no=None, count_max=1)
    assert newest.author == operator(NOW + 7)


async def test_a_device_that_logs_in_is_not_noted(town: Town) -> None:
    """It is no change that somebody of the business made; the history of merges tells of it."""
    await tracked(town)
    assert await town.log_in(VISITOR, USER) is None
    assert await noted(town) == []


async def test_a_new_workspace_is_noted_with_each_of_its_first_keys(town: Town) -> None:
    made = await town.workspaces.create("second")
    entries = await town.store.audit.audit_entries(
        made.workspace.workspace_id, before_entry_no=None, count_max=100
    )
    first, *keys = ((entry.action, entry.subject) for entry in reversed(entries))
    assert first == ("workspace.create", made.workspace.workspace_id)
    assert [action for action, _ in keys] == ["key.create"] * len(made.keys)
    prefixes = [record.prefix for record in await town.workspaces.keys(made.workspace.workspace_id)]
    assert sorted(subject for _, subject in keys) == sorted(prefixes)


async def test_the_audit_holds_nothing_of_a_persons_own(town: Town, place: Place) -> None:
    """It outlives deletions, so that no id, address or name of the person may be in it."""
    await tracked(town)
    await town.contacts.make_user(
        town.workspace_id,
        visitor_ref(VISITOR),
        user_id=USER,
        email=EMAIL,
        occurred_at_micros=None,
        author=operator(),
    )
    page = await town.people.merges(town.workspace_id, user_ref(USER), page_size=1, page_token="")
    await town.contacts.split(town.workspace_id, page.merges[0].merge_id, author=operator())
    await merged(town)
    await town.contacts.delete(town.workspace_id, user_ref(USER), suppress=True, author=operator())
    assert len(await noted(town)) == 4
    assert place.found("canary") == 0
