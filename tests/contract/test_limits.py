"""Every bound says one thing in three places: server limits, device limits, the contract's comments."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from workevo_mobile import limits as device
from workevo_server.domain import limits

PROTOS = Path(__file__).parents[2] / "protos"
MEBIBYTE, KIBIBYTE = 1024 * 1024, 1024


def contract_text(name: str) -> str:
    """The comments of one .proto file as one line, so that a sentence is found wherever it breaks."""
    source = (PROTOS / "workevo" / name).read_text()
    return " ".join(re.sub(r"^\s*//", " ", source, flags=re.MULTILINE).split())


TRACKING = contract_text("tracking/v1/tracking.proto")
EVENT = contract_text("tracking/v1/event.proto")
VERDICT = contract_text("tracking/v1/verdict.proto")
DELIVERY = contract_text("insight/v1/delivery.proto")
CATALOGUE = contract_text("insight/v1/catalogue.proto")
PEOPLE = contract_text("insight/v1/people.proto")


def hours(duration: timedelta) -> int:
    return duration // timedelta(hours=1)


def power_of_two_less_one(value: int) -> str:
    exponent = (value + 1).bit_length() - 1
    assert value == 2**exponent - 1
    return f"2^{exponent} - 1"


SENTENCES = [
    # Uploads (R9)
    (TRACKING, f"1 to {limits.UPLOAD_EVENTS_MAX} events of one install and epoch"),
    (TRACKING, f"1 to {limits.UPLOAD_EVENTS_MAX} events, or none"),
    (TRACKING, f"at most {limits.UPLOAD_BYTES_MAX // MEBIBYTE} MiB, each event at most"),
    (TRACKING, f"each event at most {limits.EVENT_BYTES_MAX // KIBIBYTE} KiB"),
    (VERDICT, f"over {limits.EVENT_BYTES_MAX // KIBIBYTE} KiB when serialized"),
    (TRACKING, f"since its last answered upload. At most {limits.UPLOAD_DROPPED_RANGES_MAX:,}."),
    (TRACKING, f"where the workspace demands them. At most {limits.UPLOAD_IDENTITY_PROOFS_MAX}."),
    (TRACKING, f"{limits.EPOCH_BYTES} random bytes"),
    (TRACKING, f"Random, made when the app first runs, 1 to {limits.ID_CODE_POINTS_MAX} code points"),
    (TRACKING, f"Optional, as are all below, at most {limits.INSTALL_TEXT_CODE_POINTS_MAX} code points each"),
    # What client_config tells of them
    (TRACKING, f"as so many events wait; 1 to {limits.UPLOAD_EVENTS_MAX}."),
    (TRACKING, f"Events an upload, at most {limits.UPLOAD_EVENTS_MAX}."),
    (TRACKING, f"Bytes of a serialized upload, at most {limits.UPLOAD_BYTES_MAX // MEBIBYTE} MiB."),
    (TRACKING, f"Bytes of a serialized event, at most {limits.EVENT_BYTES_MAX // KIBIBYTE} KiB."),
    (TRACKING, f"Metadata keys kept of an event, 0 to {limits.METADATA_KEYS_SETTING_MAX}."),
    # Events (R1, R3, R4, R5)
    (EVENT, f"1 to {power_of_two_less_one(limits.SEQUENCE_MAX)}, both included"),
    (EVENT, f"1 to {limits.NAME_CODE_POINTS_MAX} code points after trimming white space"),
    (EVENT, f"A person who is logged in: 1 to {limits.ID_CODE_POINTS_MAX} code points"),
    (EVENT, f"At most {limits.METADATA_KEYS_DEFAULT} keys are kept"),
    (EVENT, f"(a workspace setting, 0 to {limits.METADATA_KEYS_SETTING_MAX})"),
    (EVENT, f"Required. 1 to {limits.METADATA_KEY_CODE_POINTS_MAX} code points; matched as event names are."),
    (EVENT, f"At most {limits.METADATA_TEXT_CODE_POINTS_MAX} code points. string text"),
    (EVENT, f"at most {limits.LINK_CODE_POINTS_MAX:,} code points. string link"),
    # Identity and ledger (R6, R14)
    (VERDICT, f"({hours(limits.PRODUCT_IDENTITY_WINDOW_DEFAULT)} hours by default)"),
    (VERDICT, f"sequence outside 1 to {power_of_two_less_one(limits.SEQUENCE_MAX)}."),
    (TRACKING, f"first_sequence to {power_of_two_less_one(limits.SEQUENCE_MAX)}. Included."),
    (TRACKING, f"lowest first, {limits.ANSWER_GAPS_MAX} at most"),
    (DELIVERY, f"oldest first; of more than {limits.LEDGER_QUEUES_MAX}, or of very long ones, the newest"),
    (DELIVERY, f"lowest first, {limits.LEDGER_ANSWER_RANGES_MAX:,} ranges at most"),
    (VERDICT, f"more than {limits.REST_CLOCK_AHEAD_SECONDS_MAX // 3600} hours ahead"),
    # Catalogue (R22)
    (CATALOGUE, f"At most {limits.DESCRIPTION_CODE_POINTS_MAX:,} code points"),
    # Reading back
    (PEOPLE, f"{limits.CONTACT_VISITOR_IDS_MAX:,} at most, oldest first"),
    *(
        (text, f"1 to {limits.PAGE_SIZE_MAX}; 0 means {limits.PAGE_SIZE_DEFAULT}; more than")
        for text in (DELIVERY, PEOPLE, CATALOGUE)
    ),
]


@pytest.mark.parametrize(("text", "sentence"), SENTENCES, ids=[sentence for _, sentence in SENTENCES])
def test_the_contract_states_the_limit_that_the_server_keeps(text: str, sentence: str) -> None:
    assert sentence in text


def shared_limits() -> list[str]:
    return sorted(name for name in vars(device) if name.isupper() and hasattr(limits, name))


@pytest.mark.parametrize("name", shared_limits())
def test_the_device_keeps_the_servers_limit(name: str) -> None:
    assert getattr(device, name) == getattr(limits, name)


def test_the_device_has_a_copy_of_every_limit_it_must_enforce() -> None:
    assert {
        "ANSWER_GAPS_MAX",
        "CREATED_AT_SECONDS_MAX",
        "EPOCH_BYTES",
        "EVENT_BYTES_MAX",
        "ID_CODE_POINTS_MAX",
        "LINK_CODE_POINTS_MAX",
        "METADATA_KEY_CODE_POINTS_MAX",
        "METADATA_TEXT_CODE_POINTS_MAX",
        "NAME_CODE_POINTS_MAX",
        "SEQUENCE_MAX",
        "UPLOAD_BYTES_MAX",
        "UPLOAD_DROPPED_RANGES_MAX",
        "UPLOAD_EVENTS_MAX",
    } <= set(shared_limits())


def test_a_delay_that_the_server_asks_for_is_obeyed_as_long_as_the_contract_says() -> None:
    assert hours(device.SERVER_DELAY_MAX) == 1
    assert "Obeyed up to an hour." in TRACKING
    assert "Obeyed up to an hour." in VERDICT
