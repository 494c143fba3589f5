"""An install that has had sixty queues, as every channel tells of it: some at once, and each in the end."""

import html
import re
import uuid
from dataclasses import dataclass
from urllib.parse import urlencode

import grpc
import pytest

from workevo.insight.v1 import delivery_pb2, delivery_pb2_grpc
from workevo.tracking.v1 import tracking_pb2
from workevo.tracking.v1.verdict_pb2 import REASON_NAME_INVALID, REASON_UNSPECIFIED
from workevo_testing.console import Visit, signed_in_to
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import Keys, ServerProcess
from workevo_testing.wire_calls import CALL_SECONDS_MAX, Phone, bearer, event

QUEUES = 60
_CARD = re.compile(r'id="queue-([0-9a-f]{32})"')


@dataclass(frozen=True)
class Crowd:
    keys: Keys
    install_id: str
    epochs: list[bytes]
    """Oldest first; in the first one an event was rejected, in the others none came of the two told."""


@pytest.fixture(scope="module")
def crowd(server: ServerProcess) -> Crowd:
    keys = server.create_workspace("Crowd of queues")
    install_id, epochs = uuid.uuid4().hex, [uuid.uuid4().bytes for _ in range(QUEUES)]
    with grpc.insecure_channel(server.grpc_address) as channel:
        for epoch in epochs:
            install = tracking_pb2.Install(install_id=install_id, epoch=epoch)
            sent = [event(1, name="")] if epoch == epochs[0] else []
            Phone(channel, keys.sdk_key, install).upload(sent, last_sequence=2)
    return Crowd(keys, install_id, epochs)


@pytest.fixture(scope="module")
def visit(server: ServerProcess, crowd: Crowd) -> Visit:
    return signed_in_to(server, crowd.keys, "admin")


def test_a_ledger_comes_page_by_page_over_grpc(channel: grpc.Channel, crowd: Crowd) -> None:
    def page(token: str) -> delivery_pb2.GetLedgerResponse:
        request = delivery_pb2.GetLedgerRequest(install_id=crowd.install_id, page_token=token)
        return delivery_pb2_grpc.DeliveryServiceStub(channel).GetLedger(
            request, metadata=bearer(crowd.keys.server_key), timeout=CALL_SECONDS_MAX
        )

    newer = page("")
    older = page(newer.next_page_token)

    assert [each.epoch for each in (*older.epochs, *newer.epochs)] == crowd.epochs
    assert (len(newer.epochs), older.next_page_token) == (50, "")
    for told, reason in ((newer, REASON_UNSPECIFIED), (older, REASON_NAME_INVALID)):
        balance = told.balance
        assert (balance.generated, balance.open, balance.rejected) == (2 * QUEUES, 2 * QUEUES - 1, 1)
        assert [(each.reason, each.count) for each in balance.rejected_by_reason] == [(reason, 1)]
    with pytest.raises(grpc.RpcError) as refused:
        page("x" + newer.next_page_token)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_ledger_comes_page_by_page_over_rest(server: ServerProcess, crowd: Crowd) -> None:
    rest = Rest(address=server.http_address, key=crowd.keys.server_key)

    newer = rest.get("/ledger", install_id=crowd.install_id).json
    token = newer["pages"]["next"]["starting_after"]
    older = rest.get("/ledger", install_id=crowd.install_id, starting_after=token).json

    assert [bytes.fromhex(each["epoch"]) for each in older["epochs"] + newer["epochs"]] == crowd.epochs
    assert older["pages"]["next"] is None
    assert newer["balance"] == older["balance"] | {"rejected_by_reason": {"UNSPECIFIED": 1}}
    assert older["balance"]["rejected_by_reason"] == {"NAME_INVALID": 1}
    (listed,) = rest.get("/installs").json["data"]
    assert (listed["epoch_count"], listed["balance"]) == (QUEUES, newer["balance"])


def test_an_installs_page_shows_some_queues_and_leads_to_the_rest(visit: Visit, crowd: Crowd) -> None:
    address, shown = f"/console/delivery/install?id={crowd.install_id}", list[str]()
    while address:
        page = visit.get(address).body.decode()
        cards = _CARD.findall(page)
        assert len(cards) == 10
        assert "The install has had 60 queues" in page
        assert "120 generated, 1 rejected, 119 open" in page
        shown += cards
        link = re.search(r'href="([^"]+)">Earlier queues', page)
        address = html.unescape(link.group(1)) if link else ""

    assert shown == [epoch.hex() for epoch in reversed(crowd.epochs)]


def test_one_queue_is_shown_alone_and_its_sequences_go_on(visit: Visit, crowd: Crowd) -> None:
    alone = f"/console/delivery/install?id={crowd.install_id}&epoch={crowd.epochs[0].hex()}&from=2"

    page, part = visit.get(alone).body.decode(), visit.get(alone, part=True).body.decode()

    assert _CARD.findall(page) == [crowd.epochs[0].hex()]
    assert "here is one of them" in page
    assert "To the newest" in page
    assert "<html" not in part
    assert ">2</a>" in part
    assert ">1</a>" not in part


def test_a_sequence_is_looked_for_in_the_newest_queues_and_in_the_one_that_is_named(
    visit: Visit, crowd: Crowd
) -> None:
    asked = {"install": crowd.install_id, "sequence": "1"}

    several = visit.get(f"/console/where?{urlencode(asked)}").body.decode()
    named = visit.get(f"/console/where?{urlencode({**asked, 'epoch': crowd.epochs[0].hex()})}").body.decode()

    assert "It has not come yet" in several
    assert "more of them may have this sequence" in several
    assert "It was rejected" in named
    assert "more of them" not in named
