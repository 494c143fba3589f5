"""The domain's enums are the contract's, name for name, so that no codec has to translate by hand."""

import enum
from collections.abc import Mapping
from pathlib import Path

import pytest
from google.protobuf.descriptor import EnumDescriptor

from workevo.insight.v1 import delivery_pb2, people_pb2
from workevo.tracking.v1 import event_pb2, tracking_pb2, verdict_pb2
from workevo_mobile.metadata import StripeKind as DeviceStripeKind
from workevo_server.domain.events import ClockMethod, ContactKind, DropReason
from workevo_server.domain.ledger import OutcomeKind
from workevo_server.domain.metadata import StripeKind
from workevo_server.domain.verdicts import MatchedIdentity, Reason, Verdict, WarningCode, is_retriable

VERDICTS = verdict_pb2.DESCRIPTOR.enum_types_by_name
PEOPLE = people_pb2.DESCRIPTOR.enum_types_by_name

PAIRS: Mapping[type[enum.Enum], EnumDescriptor] = {
    Verdict: VERDICTS["Verdict"],
    Reason: VERDICTS["Reason"],
    MatchedIdentity: VERDICTS["MatchedIdentity"],
    WarningCode: verdict_pb2.Warning.DESCRIPTOR.enum_types_by_name["Code"],
    DropReason: tracking_pb2.DESCRIPTOR.enum_types_by_name["DropReason"],
    OutcomeKind: delivery_pb2.DESCRIPTOR.enum_types_by_name["Outcome"],
    ClockMethod: PEOPLE["ClockMethod"],
    ContactKind: PEOPLE["ContactKind"],
    StripeKind: event_pb2.Stripe.DESCRIPTOR.enum_types_by_name["Kind"],
    DeviceStripeKind: event_pb2.Stripe.DESCRIPTOR.enum_types_by_name["Kind"],
}


def wire_names(descriptor: EnumDescriptor) -> dict[str, int]:
    """The values without their prefix, which is what the one named UNSPECIFIED has before it."""
    (unspecified,) = [value.name for value in descriptor.values if value.number == 0]
    prefix = unspecified.removesuffix("UNSPECIFIED")
    assert prefix != unspecified
    return {value.name.removeprefix(prefix): value.number for value in descriptor.values}


@pytest.mark.parametrize(("ours", "wire"), PAIRS.items(), ids=[each.__name__ for each in PAIRS])
def test_a_domain_enum_is_the_contracts_name_for_name(ours: type[enum.Enum], wire: EnumDescriptor) -> None:
    names = set(wire_names(wire)) - ({"UNSPECIFIED"} if "UNSPECIFIED" not in ours.__members__ else set())

    assert {member.name for member in ours} == names


def test_the_contract_says_of_every_reason_whether_it_is_final() -> None:
    """The comment of each reason begins with the verdict it comes with."""
    source = verdict_comments()

    for reason in Reason:
        verdict = "RETRY" if is_retriable(reason) else "REJECTED"
        assert source[f"REASON_{reason.name}"].startswith(verdict), reason


def verdict_comments() -> dict[str, str]:
    """Each enum value of verdict.proto with the comment above it."""
    proto = Path(__file__).parents[2] / "protos" / "workevo" / "tracking" / "v1" / "verdict.proto"
    found: dict[str, str] = {}
    comment: list[str] = []
    for line in map(str.strip, proto.read_text().splitlines()):
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
            continue
        if "=" in line:
            found[line.split()[0]] = " ".join(comment)
        comment = []
    return found
