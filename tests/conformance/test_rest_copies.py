"""R6 by its cases over REST, merges by `/visitors/convert` among them."""

import itertools
from collections.abc import Iterator

import pytest

from conformance.case_files import Case, parameters
from workevo_testing.places import STORES, store_of
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess

START = 1_795_000_000
_numbers = itertools.count()


@pytest.fixture(scope="module", params=STORES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    directory, store = tmp_path_factory.mktemp("copies"), store_of(request)
    with ServerProcess(directory, simulated_clock=True, store=store) as running:
        yield running


class Town:
    """The people of one case, each made before the first event; a visitor is named by its id here."""

    def __init__(self, server: ServerProcess, key: str) -> None:
        self.server = server
        self.key = key
        self.prefix = f"{next(_numbers)} "
        self.contact_ids: dict[str, str] = {}

    def at(self, seconds: int) -> Rest:
        return Rest(address=self.server.http_address, key=self.key, at_seconds=START + seconds)

    def contact_id(self, external_id: str) -> str:
        if external_id not in self.contact_ids:
            role = "lead" if external_id.startswith("v") else "user"
            made = self.at(-1000).post("/contacts", role=role, external_id=self.prefix + external_id)
            self.contact_ids[external_id] = made.json["id"]
        return self.contact_ids[external_id]

    def merge(self, visitor: str, user: str, *, at: int) -> None:
        self.contact_id(user)
        answer = self.at(at).post(
            "/visitors/convert",
            type="user",
            visitor={"id": self.contact_id(visitor)},
            user={"user_id": self.prefix + user},
        )
        assert answer.status == 200, answer.body

    def stored(self) -> int:
        """Of all persons, merged ones once."""
        found = {
            event["id"]
            for contact_id in self.contact_ids.values()
            for event in self.at(10**6)
            .get("/events", type="user", intercom_user_id=contact_id, per_page=500)
            .json["events"]
        }
        return len(found)


@pytest.mark.parametrize("case", parameters("dedup.json"))
def test_copies_are_told_by_contact_name_and_second_over_rest(case: Case, server: ServerProcess) -> None:
    keys = server.create_workspace(f"case {next(_numbers)}")
    if "window" in case:
        assert case["window"] == 0
        server.set(keys.workspace_id, product_identity_window=0)
    town = Town(server, keys.server_key)
    for step in case["steps"]:
        if "merge" in step:
            town.merge(*step["merge"], at=step["at"])
            continue
        events = [
            {"id": town.contact_id(external_id), "event_name": name, "created_at": created_at}
            for external_id, name, created_at in step["events"]
        ]
        results = town.at(step["at"]).batch(events).json["results"]
        assert [each["verdict"] for each in results] == step["verdicts"]
    assert town.stored() == case["stored"]
