"""What the service refuses as a whole, and what it makes of a log-in, before any store is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from workevo_server.domain import limits
from workevo_server.domain.errors import RequestInvalid, StoreUnavailable
from workevo_server.domain.events import ClockReading, DroppedRange, DropReason, Install, Upload
from workevo_server.domain.identification import Identification, IdentifyAnswer
from workevo_server.domain.identifiers import InstallId, WorkspaceId
from workevo_server.domain.judging import JudgedUpload
from workevo_server.domain.metadata import MetadataEntry, MetadataItem, Number, Text
from workevo_server.domain.requests import ForgetCall, IdentifyCall
from workevo_server.domain.told_counts import CountsAnswer, JudgedCounts
from workevo_server.domain.verdicts import Reason, Verdict
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.contact_store import ErasureReceipt
from workevo_server.ports.event_sink import UploadAnswer
from workevo_server.ports.key_ring import Principal
from workevo_server.ports.people import Contact, ContactRef
from workevo_server.services.ingest import Ingest
from workevo_testing.uploads import PHONE, upload

WORKSPACE = WorkspaceId("ws_1")
SECRET = b"shared with the app's back end"
NOW_MICROS = 1_795_000_000_000_000


@dataclass
class RememberingSink:
    """Keeps what reaches it: what the service let through."""

    uploads: list[JudgedUpload] = field(default_factory=list)
    identifications: list[Identification] = field(default_factory=list)
    forgotten: list[ForgetCall] = field(default_factory=list)
    told: list[JudgedCounts] = field(default_factory=list)

    async def append(self, upload: JudgedUpload) -> UploadAnswer:
        self.uploads.append(upload)
        return UploadAnswer(verdicts=(), settled_through=0, gaps=())

    async def tell_counts(self, told: JudgedCounts) -> CountsAnswer:
        self.told.append(told)
        return CountsAnswer(verdict=Verdict.ACCEPTED)

    async def identify(self, identification: Identification) -> IdentifyAnswer:
        self.identifications.append(identification)
        return IdentifyAnswer()

    async def forget(self, call: ForgetCall) -> ErasureReceipt:
        self.forgotten.append(call)
        return ErasureReceipt()


class OneWorkspace:
    def principal(self, key: str) -> Principal | None:  # noqa: ARG002 - the service asks for settings alone.
        return None

    def settings(self, workspace_id: WorkspaceId) -> WorkspaceSettings:
        assert workspace_id == WORKSPACE
        return WorkspaceSettings(metadata_keys_max=2)

    def identity_secrets(self, workspace_id: WorkspaceId) -> Sequence[bytes]:
        assert workspace_id == WORKSPACE
        return (SECRET,)


class NobodyIsKnown:
    async def contact(self, workspace_id: WorkspaceId, ref: ContactRef) -> Contact | None:  # noqa: ARG002
        """A device names nobody whom a store would have to be asked for."""
        raise AssertionError


@pytest.fixture
def sink() -> RememberingSink:
    return RememberingSink()


@pytest.fixture
def ingest(sink: RememberingSink) -> Ingest:
    return Ingest(sink=sink, key_ring=OneWorkspace(), people=NobodyIsKnown())


def install(**changes: Any) -> Install:
    return replace(PHONE, **changes)


def dropped(first: int, last: int) -> DroppedRange:
    return DroppedRange(first_sequence=first, last_sequence=last, reason=DropReason.EXPIRED)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"install": install(install_id=InstallId(""))}, ["install.install_id"]),
        ({"install": install(install_id=InstallId("i" * 256))}, ["install.install_id"]),
        ({"install": install(epoch=b"short")}, ["install.epoch"]),
        ({"install": install(install_id=InstallId(""), epoch=b"")}, ["install.install_id", "install.epoch"]),
        ({"last_sequence": -1}, ["last_sequence"]),
        ({"last_sequence": limits.SEQUENCE_MAX + 1}, ["last_sequence"]),
        ({"applied_through": -1}, ["applied_through"]),
        ({"dropped": (dropped(0, 1),)}, ["dropped[0]"]),
        ({"dropped": (dropped(1, 1), dropped(3, 2))}, ["dropped[1]"]),
        ({"dropped": (dropped(1, limits.SEQUENCE_MAX + 1),)}, ["dropped[0]"]),
        ({"dropped": (dropped(1, 1),) * (limits.UPLOAD_DROPPED_RANGES_MAX + 1)}, ["dropped"]),
    ],
)
async def test_an_upload_that_is_wrong_as_a_whole_is_refused_with_every_field_at_fault(
    ingest: Ingest, sink: RememberingSink, fields: dict[str, Any], wrong: list[str]
) -> None:
    sent: Upload = replace(upload(WORKSPACE), **fields)
    with pytest.raises(RequestInvalid) as refused:
        await ingest.upload(sent)
    assert [violation.field for violation in refused.value.violations] == wrong
    assert all(violation.sentence in str(refused.value) for violation in refused.value.violations)
    assert sink.uploads == []


async def test_who_only_watches_is_told_in_order_and_fails_no_upload(sink: RememberingSink) -> None:
    told: list[str] = []

    def failing(sent: Upload, answer: UploadAnswer) -> None:
        told.append("failing")
        raise ValueError(sent, answer)

    ingest = Ingest(
        sink=sink,
        key_ring=OneWorkspace(),
        people=NobodyIsKnown(),
        observers=(failing, lambda _sent, _answer: told.append("next")),
    )

    answer = await ingest.upload(upload(WORKSPACE))

    assert answer.settled_through == 0
    assert told == ["failing", "next"]
    assert len(sink.uploads) == 1


async def test_an_erasure_that_failed_after_it_was_begun_is_told_of_all_the_same() -> None:
    class FailingSink(RememberingSink):
        async def forget(self, call: ForgetCall) -> ErasureReceipt:  # noqa: ARG002
            raise StoreUnavailable

    forgotten: list[WorkspaceId] = []
    ingest = Ingest(
        sink=FailingSink(), key_ring=OneWorkspace(), people=NobodyIsKnown(), forgotten=forgotten.append
    )

    with pytest.raises(StoreUnavailable):
        await ingest.forget(ForgetCall(workspace_id=WORKSPACE, install=PHONE, received_at_micros=NOW_MICROS))

    assert forgotten == [WORKSPACE]


async def test_an_upload_is_judged_by_its_workspaces_settings(ingest: Ingest, sink: RememberingSink) -> None:
    await ingest.upload(upload(WORKSPACE, last_sequence=limits.SEQUENCE_MAX))
    assert sink.uploads[0].settings.metadata_keys_max == 2


def log_in(**changes: Any) -> IdentifyCall:
    call = IdentifyCall(
        workspace_id=WORKSPACE,
        install=PHONE,
        visitor_id="v1",
        user_id="u1",
        user_hash="",
        attributes=(),
        identify_clock=ClockReading(wall_micros=NOW_MICROS - 5_000_000),
        send_clock=ClockReading(wall_micros=NOW_MICROS),
        received_at_micros=NOW_MICROS,
    )
    return replace(call, **changes)


@pytest.mark.parametrize(
    ("changes", "reason", "field_at_fault"),
    [
        ({"visitor_id": ""}, Reason.CONTACT_INVALID, "visitor_id"),
        ({"user_id": "u" * 256}, Reason.CONTACT_INVALID, "user_id"),
        (
            {"attributes": (MetadataItem("age", Number(float("nan"))),)},
            Reason.METADATA_VALUE_INVALID,
            "age",
        ),
    ],
)
async def test_a_log_in_that_is_wrong_is_rejected_with_its_field(
    ingest: Ingest, sink: RememberingSink, changes: dict[str, Any], reason: Reason, field_at_fault: str
) -> None:
    answer = await ingest.identify(log_in(**changes))
    assert answer.refusal is not None
    assert (answer.refusal.reason, answer.refusal.field) == (reason, field_at_fault)
    assert sink.identifications == []


async def test_a_log_in_of_an_install_without_an_id_is_refused_as_a_call(ingest: Ingest) -> None:
    with pytest.raises(RequestInvalid):
        await ingest.identify(log_in(install=install(install_id=InstallId(""))))


async def test_a_log_in_keeps_more_attributes_than_an_event_keeps_keys(
    ingest: Ingest, sink: RememberingSink
) -> None:
    attributes = tuple(MetadataItem(f"a{n}", Text("x")) for n in range(5))
    await ingest.identify(log_in(attributes=attributes))
    (kept,) = sink.identifications
    assert kept.attributes == tuple(MetadataEntry(f"a{n}", Text("x")) for n in range(5))


@pytest.mark.parametrize(
    ("clock", "occurred_at_micros"),
    [
        (ClockReading(wall_micros=NOW_MICROS - 5_000_000), NOW_MICROS - 5_000_000),
        (ClockReading(), NOW_MICROS),
    ],
)
async def test_a_log_in_was_when_its_clocks_say(
    ingest: Ingest, sink: RememberingSink, clock: ClockReading, occurred_at_micros: int
) -> None:
    await ingest.identify(log_in(identify_clock=clock))
    assert sink.identifications[0].occurred_at_micros == occurred_at_micros
