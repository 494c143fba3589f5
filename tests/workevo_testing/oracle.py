"""What the server has, read through the public door, against what a phone tracked."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import grpc

from workevo.insight.v1 import delivery_pb2, delivery_pb2_grpc, people_pb2, people_pb2_grpc
from workevo_testing.server_process import ServerProcess

DEADLINE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Found:
    """Names of events; every event of a run has a name of its own."""

    lost: frozenset[str]
    twice: frozenset[str]
    unexpected: frozenset[str]


def stored_names(server: ServerProcess, user_id: str) -> Counter[str]:
    """How often each name stands on the user's timeline, page by page to its end."""
    names: Counter[str] = Counter()
    with grpc.insecure_channel(server.grpc_address) as channel:
        people = people_pb2_grpc.PeopleServiceStub(channel)
        token = ""
        while True:
            page = people.ListActivities(
                people_pb2.ListActivitiesRequest(user_id=user_id, page_size=500, page_token=token),
                metadata=(("authorization", f"Bearer {server.keys.server_key}"),),
                timeout=DEADLINE_SECONDS,
            )
            names.update(each.event.name for each in page.activities if each.HasField("event"))
            token = page.next_page_token
            if not token:
                return names


def balance(server: ServerProcess, install_id: str) -> delivery_pb2.Balance:
    with grpc.insecure_channel(server.grpc_address) as channel:
        ledger = delivery_pb2_grpc.DeliveryServiceStub(channel).GetLedger(
            delivery_pb2.GetLedgerRequest(install_id=install_id),
            metadata=(("authorization", f"Bearer {server.keys.server_key}"),),
            timeout=DEADLINE_SECONDS,
        )
        return ledger.balance


def compare(
    stored: Counter[str], *, promised: Iterable[str], attempted: Iterable[str] | None = None
) -> Found:
    """`promised` must be there once; what was `attempted` without a promise may be, once."""
    promised = set(promised)
    allowed = promised if attempted is None else promised | set(attempted)
    return Found(
        lost=frozenset(promised - stored.keys()),
        twice=frozenset(name for name, count in stored.items() if count > 1),
        unexpected=frozenset(stored.keys() - allowed),
    )


NOTHING_AMISS = Found(frozenset(), frozenset(), frozenset())
