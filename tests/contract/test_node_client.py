"""A client written from the .proto files alone, with another stack: Node, @grpc/grpc-js, @grpc/proto-loader.

What it did is in node_client/events.mjs and client.mjs; here is what it must have seen.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from workevo_testing.server_process import ServerProcess

REPOSITORY = Path(__file__).parents[2]
NODE_CLIENT = Path(__file__).parent / "node_client"
RUN_SECONDS_MAX = 60
EPOCH = "00112233445566778899aabbccddeeff"

Json = dict[str, Any]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What the Node client printed after one run against a real server."""
    if shutil.which("node") is None:
        pytest.skip("Node is missing: install it (Debian: apt-get install nodejs npm).")
    if not (NODE_CLIENT / "node_modules").is_dir():
        pytest.skip("The Node client's packages are missing: npm ci --prefix tests/contract/node_client")
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        return run_client(server)


def run_client(server: ServerProcess) -> Json:
    done = subprocess.run(
        ["node", str(NODE_CLIENT / "client.mjs")],
        input=json.dumps(
            {
                "address": server.grpc_address,
                "sdk_key": server.keys.sdk_key,
                "server_key": server.keys.server_key,
                "protos": str(REPOSITORY / "protos"),
            }
        ),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed: Json = json.loads(done.stdout)
    return printed


# Verdicts


def verdicts(upload: Json) -> dict[str, tuple[str, ...]]:
    """By sequence: the verdict, and the reason or the identity that says more."""
    return {
        result["sequence"]: (
            result["verdict"],
            *(text for text in (result["reason"], result["identity"]) if not text.endswith("_UNSPECIFIED")),
        )
        for result in upload["results"]
    }


def test_only_events_that_were_not_plainly_accepted_have_a_result(seen: Json) -> None:
    first = seen["uploads"]["first"]

    assert verdicts(first) == {
        "3": ("VERDICT_DUPLICATE", "MATCHED_IDENTITY_PRODUCT"),
        "4": ("VERDICT_REJECTED", "REASON_NAME_INVALID"),
        "5": ("VERDICT_ACCEPTED",),
    }
    assert [result["index"] for result in first["results"]] == [2, 3, 4]


def test_accepted_ones_and_the_results_add_up_to_what_was_sent(seen: Json) -> None:
    first = seen["uploads"]["first"]
    not_accepted = [each for each in first["results"] if each["verdict"] != "VERDICT_ACCEPTED"]

    assert first["accepted_count"] == 5
    assert first["accepted_count"] + len(not_accepted) == 7


def test_a_key_too_many_is_named_in_a_warning(seen: Json) -> None:
    warned = seen["uploads"]["first"]["results"][2]

    assert warned["warnings"] == [{"code": "CODE_METADATA_KEYS_DROPPED", "fields": ["f"]}]


def test_a_rejected_event_is_final_and_says_which_field(seen: Json) -> None:
    rejected = seen["uploads"]["first"]["results"][1]

    assert rejected["field"] == "name"
    assert rejected["message"]
    assert rejected["retriable"] is False


def test_the_same_upload_again_stores_nothing_and_repeats_its_answers(seen: Json) -> None:
    again = seen["uploads"]["again"]
    by_sequence = ("VERDICT_DUPLICATE", "MATCHED_IDENTITY_TRANSPORT")

    assert again["accepted_count"] == 0
    assert verdicts(again) == {
        **dict.fromkeys(("1", "2", "3", "5", "6", "7"), by_sequence),
        "4": ("VERDICT_REJECTED", "REASON_NAME_INVALID"),
    }


def test_the_answer_says_what_is_open(seen: Json) -> None:
    first = seen["uploads"]["first"]

    assert first["settled_through"] == "9"
    assert first["gaps"] == [{"first_sequence": "10", "last_sequence": "10"}]


def test_a_device_without_a_configuration_is_given_one(seen: Json) -> None:
    config = seen["uploads"]["first"]["client_config"]

    assert config["version"]
    assert config["limits"] == {
        "metadata_keys_max": 5,
        "upload_events_max": 500,
        "upload_bytes_max": 1024 * 1024,
        "event_bytes_max": 32 * 1024,
    }


# Reading back


def activities(seen: Json) -> list[Json]:
    items: list[Json] = seen["readBack"]["timeline"]["items"]
    return items


def timeline(seen: Json) -> list[Json]:
    """The events of it."""
    return [activity for activity in activities(seen) if "event" in activity]


def metadata_of(seen: Json, sequence: str) -> list[Json]:
    (metadata,) = [
        activity["event"]["metadata"]
        for activity in timeline(seen)
        if activity["event"]["sequence"] == sequence
    ]
    return [{key: value for key, value in entry.items() if key != "value"} for entry in metadata]


def test_the_summary_counts_the_visitors_event_with_the_users(seen: Json) -> None:
    assert seen["identify"]["verdict"] == "VERDICT_ACCEPTED"

    summaries = seen["readBack"]["summary"]["summaries"]
    counts = {summary["name"]: (summary["display_name"], summary["count"]) for summary in summaries}
    assert counts == {
        "placed by uptime": ("Placed by uptime", "1"),
        "counted": ("Counted", "1"),
        "tapped\0twice": ("Tapped\0twice", "1"),
        "invited-friend": ("Invited friend", "2"),
    }
    (invited,) = [summary for summary in summaries if summary["name"] == "invited-friend"]
    assert invited["first_occurred_at"] == {"seconds": "1699999940", "nanos": 0}
    assert invited["last_occurred_at"] == {"seconds": "1700000000", "nanos": 250_000_000}


def test_a_merged_visitor_reads_as_the_user(seen: Json) -> None:
    contact = seen["readBack"]["summaryOfVisitor"]["contact"]

    assert contact == seen["readBack"]["summary"]["contact"]
    assert (contact["kind"], contact["user_id"], contact["visitor_ids"]) == (
        "CONTACT_KIND_USER",
        "u1",
        ["v1"],
    )


def test_pages_of_the_timeline_join_without_gap_or_repeat(seen: Json) -> None:
    """Five events, and the log-in, which the timeline tells as the visitor's conversion."""
    assert seen["readBack"]["timeline"]["pageSizes"] == [2, 2, 2]
    assert [activity["event"]["sequence"] for activity in timeline(seen)] == ["7", "5", "2", "1", "6"]
    assert len({activity["activity_id"] for activity in activities(seen)}) == 6


def test_text_numbers_and_dates_come_back_exactly(seen: Json) -> None:
    assert metadata_of(seen, "1") == [
        {"key": "NUL", "text": "before\0after"},
        {"key": "Größe", "number": 1.5},
        {"key": "beyond 2^53", "integer": "9007199254740993"},
        {"key": "lowest", "integer": "-9223372036854775808"},
        {"key": "renewal_date", "date": {"seconds": "1790000000", "nanos": 0}},
    ]


def test_links_images_stripe_objects_and_money_come_back_exactly(seen: Json) -> None:
    assert metadata_of(seen, "2") == [
        {"key": "page", "link": "https://example.org/a?b=c"},
        {"key": "order", "rich_link": {"url": "https://example.org/orders/7", "title": "Order 7"}},
        {"key": "picture", "image": "https://example.org/a.png"},
        {"key": "invoice", "stripe": {"kind": "KIND_INVOICE", "id": "in_1"}},
        {"key": "price", "monetary": {"amount": "9007199254740993", "currency": "USD"}},
    ]


def test_uptime_places_an_event_whatever_its_wall_clock_says(seen: Json) -> None:
    placed = timeline(seen)[0]
    received_at = placed["event"]["received_at"]

    assert placed["event"]["clock_method"] == "CLOCK_METHOD_UPTIME"
    assert placed["event"]["created_at"] == {"seconds": "1700000040", "nanos": 0}
    assert int(received_at["seconds"]) - int(placed["occurred_at"]["seconds"]) == 61
    assert received_at["nanos"] == placed["occurred_at"]["nanos"]


def test_the_ledger_says_what_became_of_every_sequence(seen: Json) -> None:
    (epoch,) = seen["readBack"]["ledger"]["epochs"]

    assert epoch["epoch"] == EPOCH
    assert [(each["first_sequence"], each["last_sequence"], each["outcome"]) for each in epoch["ranges"]] == [
        ("1", "2", "OUTCOME_STORED"),
        ("3", "3", "OUTCOME_DUPLICATE"),
        ("4", "4", "OUTCOME_REJECTED"),
        ("5", "7", "OUTCOME_STORED"),
        ("8", "9", "OUTCOME_DROPPED"),
        ("10", "10", "OUTCOME_OPEN"),
    ]


def test_the_balance_of_the_install_adds_up(seen: Json) -> None:
    (install,) = seen["readBack"]["installs"]["items"]
    balance = install["balance"]

    assert (install["install_id"], install["platform"], install["epoch_count"]) == ("node-phone", "node", 1)
    assert balance == {
        "generated": "10",
        "stored": "5",
        "duplicate": "1",
        "archived": "0",
        "rejected": "1",
        "dropped": "2",
        "open": "1",
        "erased": "0",
        "expired": "0",
        "resent": "7",
        "rejected_by_reason": [{"reason": "REASON_NAME_INVALID", "count": "1"}],
        "dropped_by_reason": [{"reason": "DROP_REASON_QUEUE_FULL", "count": "2"}],
    }


# Refusals


@pytest.mark.parametrize(
    ("call", "code", "reason"),
    [
        ("withoutKey", "UNAUTHENTICATED", "KEY_UNKNOWN"),
        ("withUnknownKey", "UNAUTHENTICATED", "KEY_UNKNOWN"),
        ("readingWithSdkKey", "PERMISSION_DENIED", "KEY_NOT_PERMITTED"),
        ("ofUnknownContact", "NOT_FOUND", "NOT_FOUND"),
        ("withShortEpoch", "INVALID_ARGUMENT", "REQUEST_INVALID"),
        ("withTooManyEvents", "RESOURCE_EXHAUSTED", "UPLOAD_TOO_LARGE"),
    ],
)
def test_a_refused_call_carries_a_typed_reason(seen: Json, call: str, code: str, reason: str) -> None:
    refusal = seen["refusals"][call]

    assert refusal["code"] == code
    assert refusal["sentence"]
    assert refusal["details"]["google.rpc.ErrorInfo"] == {"reason": reason, "domain": "workevo.dev"}
    assert "google.rpc.RetryInfo" not in refusal["details"]


def test_a_request_that_is_wrong_as_a_whole_names_the_field(seen: Json) -> None:
    (violation,) = seen["refusals"]["withShortEpoch"]["details"]["google.rpc.BadRequest"]["fieldViolations"]

    assert violation["field"] == "install.epoch"
