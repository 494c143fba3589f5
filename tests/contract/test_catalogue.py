"""The catalogue over the wire: names, who did them, archiving, what devices are told (R10, R22 to R24)."""

import uuid
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from workevo.insight.v1 import catalogue_pb2 as wire
from workevo.insight.v1 import catalogue_pb2_grpc, people_pb2, people_pb2_grpc
from workevo.tracking.v1 import verdict_pb2
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import CALL_SECONDS_MAX, BackEnd, Phone, bearer, event, refusal


class Catalogue:
    """A workspace of its own and its catalogue."""

    def __init__(self, channel: grpc.Channel, keys: Keys) -> None:
        self.keys = keys
        self.phone = Phone(channel, keys.sdk_key)
        self.back_end = BackEnd(channel, keys.server_key)
        self.people = people_pb2_grpc.PeopleServiceStub(channel)
        self.stub = catalogue_pb2_grpc.EventCatalogueServiceStub(channel)
        self.credentials: dict[str, Any] = {"metadata": bearer(keys.server_key), "timeout": CALL_SECONDS_MAX}

    def get(self, name: str) -> wire.EventDefinition:
        request = wire.GetEventDefinitionRequest(name=name)
        return self.stub.GetEventDefinition(request, **self.credentials).definition

    def archive(self, name: str) -> wire.EventDefinition:
        request = wire.ArchiveEventDefinitionRequest(name=name)
        return self.stub.ArchiveEventDefinition(request, **self.credentials).definition

    def unarchive(self, name: str) -> wire.EventDefinition:
        request = wire.UnarchiveEventDefinitionRequest(name=name)
        return self.stub.UnarchiveEventDefinition(request, **self.credentials).definition

    def update(self, name: str, **fields: Any) -> wire.EventDefinition:
        request = wire.UpdateEventDefinitionRequest(name=name, **fields)
        return self.stub.UpdateEventDefinition(request, **self.credentials).definition

    def page(self, **fields: Any) -> wire.ListEventDefinitionsResponse:
        request = wire.ListEventDefinitionsRequest(**fields)
        return self.stub.ListEventDefinitions(request, **self.credentials)

    def names(self, **fields: Any) -> list[str]:
        return [definition.name for definition in self.page(**fields).definitions]

    def summary(self, user_id: str) -> dict[str, int]:
        request = people_pb2.GetEventSummaryRequest(user_id=user_id)
        answer = self.people.GetEventSummary(request, **self.credentials)
        return {summary.name: summary.count for summary in answer.summaries}


@pytest.fixture
def catalogue(channel: grpc.Channel, server: ServerProcess) -> Catalogue:
    return Catalogue(channel, server.create_workspace(f"Catalogue {uuid.uuid4().hex}"))


def test_a_definition_is_made_by_the_first_event_of_a_name_and_tells_who_did_it(catalogue: Catalogue) -> None:
    twin = event(3, name="Invited-Friend", user_id="u1")
    copy = event(4, name="invited-friend", user_id="u1")
    copy.created_at.CopyFrom(twin.created_at)
    catalogue.phone.upload([event(1, name="Invited-Friend", visitor_id="v1"), event(2), twin, copy])

    found = catalogue.get("INVITED-friend")

    assert (found.name, found.display_name) == ("Invited-Friend", "Invited Friend")
    assert (found.stored_count, found.duplicate_count, found.archived_count) == (2, 1, 0)
    assert list(found.seen_kinds) == [people_pb2.CONTACT_KIND_VISITOR, people_pb2.CONTACT_KIND_USER]
    assert found.first_seen_at == found.last_seen_at
    assert not found.HasField("archived_at")
    assert catalogue.names() == ["Invited-Friend", "opened"]
    assert catalogue.names(seen_kind=people_pb2.CONTACT_KIND_VISITOR) == ["Invited-Friend"]
    assert catalogue.names(seen_kind=people_pb2.CONTACT_KIND_LEAD) == []


def test_an_archived_name_is_out_of_sight_and_its_late_events_are_counted_and_not_stored(
    catalogue: Catalogue,
) -> None:
    phone = catalogue.phone
    phone.upload([event(1, name="invited-friend", user_id="u1"), event(2, name="opened", user_id="u1")])
    archived = catalogue.archive("invited-friend")

    answer = phone.upload([event(3, name="Invited-Friend", user_id="u1"), event(4, user_id="u1")])

    assert archived.HasField("archived_at")
    assert [(each.sequence, each.verdict) for each in answer.results] == [(3, verdict_pb2.VERDICT_ARCHIVED)]
    assert catalogue.summary("u1") == {"opened": 2}
    assert [each.event.name for each in catalogue.back_end.activities("u1")] == ["opened", "opened"]
    found = catalogue.get("invited-friend")
    assert (found.stored_count, found.archived_count) == (1, 1)
    assert found.archived_at == archived.archived_at == catalogue.archive("invited-friend").archived_at
    assert catalogue.names() == ["opened"]
    assert catalogue.names(state=wire.EVENT_DEFINITION_STATE_ARCHIVED) == ["invited-friend"]
    assert catalogue.names(state=wire.EVENT_DEFINITION_STATE_ALL) == ["invited-friend", "opened"]

    assert not catalogue.unarchive("invited-friend").HasField("archived_at")
    assert catalogue.summary("u1") == {"invited-friend": 1, "opened": 2}
    phone.upload([event(5, name="invited-friend", user_id="u1")])
    assert catalogue.summary("u1")["invited-friend"] == 2
    balance = catalogue.back_end.ledger(phone.install.install_id).balance
    assert (balance.generated, balance.stored, balance.archived, balance.open) == (5, 4, 1, 0)


def test_the_client_config_changes_its_version_exactly_when_its_content_changes(catalogue: Catalogue) -> None:
    phone = catalogue.phone
    phone.upload([event(1, name="b"), event(2, name="a"), event(3, name="c")])
    plain = phone.upload().client_config

    catalogue.archive("b")
    catalogue.archive("a")
    catalogue.update("c", disabled=True)
    told = phone.upload(config_version=plain.version).client_config

    assert (list(told.archived_names), list(told.disabled_names)) == (["a", "b"], ["c"])
    assert told.version != plain.version
    catalogue.update("c", description="How it is told changes nothing for a device.")
    assert not phone.upload(config_version=told.version).HasField("client_config")
    for name in ("a", "b"):
        catalogue.unarchive(name)
    catalogue.update("c", disabled=False)
    assert phone.upload(config_version=told.version).client_config == plain


def test_a_workspaces_own_flush_policy_and_limits_reach_its_devices(
    catalogue: Catalogue, server: ServerProcess
) -> None:
    server.set(catalogue.keys.workspace_id, flush_event_count=7, flush_interval=90, metadata_keys_max=9)

    config = catalogue.phone.upload().client_config

    assert (config.flush_policy.event_count, config.flush_policy.interval.seconds) == (7, 90)
    assert config.limits.metadata_keys_max == 9


def test_at_the_limit_a_new_name_is_rejected_and_an_archived_one_stays_archived(
    catalogue: Catalogue, server: ServerProcess
) -> None:
    server.set(catalogue.keys.workspace_id, event_names_max=2)
    catalogue.phone.upload([event(1, name="a"), event(2, name="b")])
    (refused,) = catalogue.phone.upload([event(3, name="c")]).results
    assert refused.reason == verdict_pb2.REASON_EVENT_NAME_LIMIT

    catalogue.archive("a")
    assert catalogue.phone.upload([event(4, name="c")]).accepted_count == 1
    with pytest.raises(grpc.RpcError) as caught:
        catalogue.unarchive("a")

    found = refusal(caught.value)
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CATALOGUE_FULL")
    assert "Archive one" in found.sentence
    assert catalogue.get("a").HasField("archived_at")
    catalogue.unarchive("b")  # It is in use already, which is no news.


def test_a_description_shows_wherever_its_event_shows(catalogue: Catalogue) -> None:
    catalogue.phone.upload([event(1, name="opened", user_id="u1")])

    assert catalogue.update("opened", description="The app came to the front.").description

    (activity,) = catalogue.back_end.activities("u1")
    assert activity.event.description == "The app came to the front."
    assert catalogue.page().definitions[0].description == "The app came to the front."
    assert catalogue.update("opened", disabled=True).description == "The app came to the front."
    assert catalogue.update("opened", description="").description == ""


def test_drops_by_name_are_counted_on_the_definition_once(catalogue: Catalogue) -> None:
    phone = catalogue.phone
    phone.upload([event(1, name="noisy"), event(2, name="old")])
    drops = [
        {"first_sequence": 3, "last_sequence": 6, "reason": "DROP_REASON_DISABLED", "name": "NOISY"},
        {"first_sequence": 5, "last_sequence": 8, "reason": "DROP_REASON_ARCHIVED", "name": "old"},
        {"first_sequence": 9, "last_sequence": 9, "reason": "DROP_REASON_QUEUE_FULL", "name": "old"},
        {"first_sequence": 10, "last_sequence": 10, "reason": "DROP_REASON_DISABLED", "name": "unheard of"},
    ]
    for _ in range(2):
        phone.upload(dropped=drops, last_sequence=10)

    assert catalogue.get("noisy").dropped_disabled_count == 4
    assert catalogue.get("old").dropped_archived_count == 2
    balance = catalogue.back_end.ledger(phone.install.install_id).balance
    assert (balance.generated, balance.stored, balance.dropped, balance.open) == (10, 2, 8, 0)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda it: it.get(""), "name"),
        (lambda it: it.get("x" * 256), "name"),
        (lambda it: it.update("opened", description="x" * 1001), "description"),
        (lambda it: it.page(state=99), "state"),
        (lambda it: it.page(seen_kind=99), "seen_kind"),
    ],
)
def test_a_wrong_request_names_its_field(
    catalogue: Catalogue, call: Callable[[Catalogue], object], field: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(catalogue)

    assert refusal(caught.value).fields == (field,)


def test_a_name_of_another_workspace_is_as_unknown_as_one_that_nobody_has(
    catalogue: Catalogue, phone: Phone
) -> None:
    name = f"theirs {uuid.uuid4().hex}"
    phone.upload([event(1, name=name)])

    sentences = set()
    for unknown in (name, "nobody's"):
        for call in (catalogue.get, catalogue.archive, catalogue.unarchive, catalogue.update):
            with pytest.raises(grpc.RpcError) as caught:
                call(unknown)
            sentences.add((refusal(caught.value).code, refusal(caught.value).sentence))

    assert sentences == {(grpc.StatusCode.NOT_FOUND, "There is no such event definition in this workspace.")}


def test_pages_go_through_the_whole_catalogue_and_their_tokens_are_good_for_that_list_alone(
    catalogue: Catalogue, server: ServerProcess, channel: grpc.Channel
) -> None:
    names = [f"name {number}" for number in range(7)]
    catalogue.phone.upload([event(number + 1, name=name) for number, name in enumerate(names)])

    seen: list[str] = []
    page = catalogue.page(page_size=3)
    first_token = page.next_page_token
    while True:
        seen += [definition.name for definition in page.definitions]
        if not page.next_page_token:
            break
        page = catalogue.page(page_size=3, page_token=page.next_page_token)
    assert seen == names

    other = Catalogue(channel, server.create_workspace(f"Other {uuid.uuid4().hex}"))
    calls: list[Callable[[], object]] = [
        lambda: other.page(page_token=first_token),
        lambda: catalogue.page(page_token=first_token, state=wire.EVENT_DEFINITION_STATE_ALL),
        lambda: catalogue.page(page_token=first_token, seen_kind=people_pb2.CONTACT_KIND_USER),
        lambda: catalogue.page(page_token=first_token[:-1] + "_"),
    ]
    for wrong in calls:
        with pytest.raises(grpc.RpcError) as caught:
            wrong()
        assert refusal(caught.value).reason == "PAGE_TOKEN_INVALID"


def test_public_keys_may_not_ask_the_catalogue(catalogue: Catalogue) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        catalogue.stub.ListEventDefinitions(
            wire.ListEventDefinitionsRequest(),
            metadata=bearer(catalogue.keys.sdk_key),
            timeout=CALL_SECONDS_MAX,
        )

    assert refusal(caught.value).code is grpc.StatusCode.PERMISSION_DENIED


def test_who_changed_the_catalogue_or_a_setting_is_told_by_the_audit(
    catalogue: Catalogue, server: ServerProcess
) -> None:
    workspace_id = catalogue.keys.workspace_id
    catalogue.phone.upload([event(1, name="opened\x1b[31m")])
    server.set(workspace_id, metadata_keys_max=9, event_names_max=500)
    catalogue.archive("opened\x1b[31m")
    catalogue.archive("opened\x1b[31m")

    entries = server.audit(workspace_id)

    told = [(entry["action"], entry["subject"], entry["old"], entry["new"]) for entry in entries]
    assert told[:2] == [
        ("event_definition.archive", "opened\x1b[31m", None, None),
        ("setting.change", "metadata_keys_max", "5", "9"),
    ]
    assert catalogue.keys.server_key.startswith(entries[0]["made_by"])
    assert entries[1]["made_by"] == "operator"
    assert {action for action, *_ in told[2:]} == {"key.create", "workspace.create"}
    assert "\x1b" not in server.command("workspace", "audit", workspace_id)


def test_what_a_lead_tracks_is_found_by_its_kind(catalogue: Catalogue) -> None:
    """R24: the kind as it was when tracked: what it did before stays a visitor's."""
    phone = catalogue.phone
    phone.upload([event(1, name="before", visitor_id="v1", created_at={"seconds": 1_000})])
    catalogue.people.ConvertContact(
        people_pb2.ConvertContactRequest(
            visitor_id="v1", first_contact=people_pb2.FirstContact(), occurred_at=Timestamp(seconds=2_000)
        ),
        **catalogue.credentials,
    )
    phone.upload([event(2, name="after", visitor_id="v1", created_at={"seconds": 3_000})])

    assert catalogue.names(seen_kind=people_pb2.CONTACT_KIND_LEAD) == ["after"]
    assert catalogue.names(seen_kind=people_pb2.CONTACT_KIND_VISITOR) == ["before"]
    assert list(catalogue.get("after").seen_kinds) == [people_pb2.CONTACT_KIND_LEAD]
