"""What was answered over REST is durable (R12): a server killed at any point loses and doubles nothing."""

import http.client
from pathlib import Path

import pytest

from workevo_testing.http_calls import HttpAnswer
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess

pytestmark = pytest.mark.usefixtures("on_each_store")

KILLED = 137


def rest_of(server: ServerProcess) -> Rest:
    return Rest(address=server.http_address, key=server.keys.server_key)


def test_what_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        rest_of(server).make_user("u")
        answers = [rest_of(server).event("a", user_id="u", created_at=second) for second in range(1, 21)]
        assert {answer.headers["workevo-verdict"] for answer in answers} == {"ACCEPTED"}

        server.restart()

        assert len(rest_of(server).events("u")) == 20


@pytest.mark.parametrize(
    ("point", "verdict"),
    [("before_commit", "ACCEPTED"), ("after_commit", "DUPLICATE"), ("before_answer", "DUPLICATE")],
)
def test_an_event_whose_answer_never_came_is_stored_once_when_it_is_sent_again(
    tmp_path: Path, point: str, verdict: str
) -> None:
    with ServerProcess(tmp_path) as server:
        rest_of(server).make_user("u")
        server.restart(environment={"WORKEVO_CRASH_AT": f"{point}:1"})

        def send() -> HttpAnswer:
            return rest_of(server).event("a", user_id="u", created_at=1)

        with pytest.raises((http.client.HTTPException, ConnectionError)):
            send()
        assert server.wait() == KILLED
        server.restart(environment={})

        assert send().headers["workevo-verdict"] == verdict
        assert len(rest_of(server).events("u")) == 1
