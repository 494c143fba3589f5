"""What devices and back ends send: judged, kept, answered (R11, R12). Every channel comes through here."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from workevo_server.domain import contacts, limits, metadata, timestamps
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.events import ContactClaim, DroppedRange, IdentityProof, Install, Upload
from workevo_server.domain.identification import Identification, IdentifyAnswer
from workevo_server.domain.identifiers import WorkspaceId
from workevo_server.domain.judging import judge_upload
from workevo_server.domain.proofs import is_proven
from workevo_server.domain.requests import ForgetCall, IdentifyCall
from workevo_server.domain.told_counts import CountsAnswer, CountsCall, judge_counts
from workevo_server.domain.verdicts import Refusal
from workevo_server.domain.workspace import WorkspaceSettings
from workevo_server.ports.contact_store import ErasureReceipt
from workevo_server.ports.event_sink import EventSink, UploadAnswer
from workevo_server.ports.key_ring import KeyRing
from workevo_server.ports.people import ContactFinder
from workevo_server.services.claims import resolved
from workevo_server.services.finishing import Finishing

log = structlog.get_logger()

Observer = Callable[[Upload, UploadAnswer], None]


class Ingest:
    """`observers` are told, in order, of every upload that was answered; `forgotten` of a workspace in which
    a device had something erased. What they make of it changes no answer."""

    def __init__(
        self,
        *,
        sink: EventSink,
        key_ring: KeyRing,
        people: ContactFinder,
        observers: Sequence[Observer] = (),
        forgotten: Callable[[WorkspaceId], None] = lambda _workspace_id: None,
    ) -> None:
        self._sink = sink
        self._key_ring = key_ring
        self._people = people
        self._observers = observers
        self._forgotten = forgotten
        self._finishing = Finishing()

    async def upload(self, upload: Upload) -> UploadAnswer:
        """Answer every event of the upload; returns after all the answer says is durable (R12).

        Raises RequestInvalid when the upload as a whole is wrong, StoreUnavailable or
        Overloaded when it must be sent again.
        """
        _refuse(*_install_violations(upload.install), *_upload_violations(upload))
        if upload.install is None:
            upload = replace(upload, events=await resolved(upload.events, self._people, upload.workspace_id))
        judged = judge_upload(
            upload,
            self._key_ring.settings(upload.workspace_id),
            secrets=self._key_ring.identity_secrets(upload.workspace_id),
        )
        answer = await self._sink.append(judged)
        self._tell(upload, answer)
        return answer

    def _tell(self, upload: Upload, answer: UploadAnswer) -> None:
        """What is durable is answered, whatever becomes of who only watches."""
        for observe in self._observers:
            try:
                observe(upload, answer)
            except Exception as error:  # noqa: BLE001 - whatever it was, the device is to have its answer.
                log.error("observer_failed", error=type(error).__name__)

    async def tell_counts(self, call: CountsCall) -> CountsAnswer:
        """Set what a back end tells as counts (R29): all of the call or, REJECTED, nothing. Raises as
        `upload`."""
        judged = judge_counts(call, self._key_ring.settings(call.workspace_id))
        return judged if isinstance(judged, CountsAnswer) else await self._sink.tell_counts(judged)

    async def identify(self, call: IdentifyCall) -> IdentifyAnswer:
        """Keep that the visitor of this install is the user (R15, R16). Raises as `upload`."""
        _refuse(*_install_violations(call.install))
        identification = _judge_identify(
            call,
            self._key_ring.settings(call.workspace_id),
            self._key_ring.identity_secrets(call.workspace_id),
        )
        if isinstance(identification, Refusal):
            return IdentifyAnswer(refusal=identification)
        return await self._sink.identify(identification)

    async def forget(self, call: ForgetCall) -> ErasureReceipt:
        """R31: erase this install and the visitors that are its alone. Raises as `upload`."""
        _refuse(*_install_violations(call.install))

        async def forgotten() -> ErasureReceipt:
            try:
                return await self._sink.forget(call)
            finally:
                self._forgotten(call.workspace_id)  # Though it may have failed after it was committed.

        return await self._finishing.finish(forgotten())


def _judge_identify(
    call: IdentifyCall, settings: WorkspaceSettings, secrets: Sequence[bytes]
) -> Identification | Refusal:
    for claim in (ContactClaim(visitor_id=call.visitor_id), ContactClaim(user_id=call.user_id)):
        refusal = contacts.judge_claim(claim)
        if refusal is not None:
            return refusal
    admitted = metadata.admit(
        call.attributes, keys_max=limits.METADATA_KEYS_SETTING_MAX, charset=settings.key_charset
    )
    if isinstance(admitted, Refusal):
        return admitted
    return Identification(
        workspace_id=call.workspace_id,
        install=call.install,
        visitor_id=call.visitor_id,
        user_id=call.user_id,
        attributes=admitted.entries,
        occurred_at_micros=_log_in_time(call),
        received_at_micros=call.received_at_micros,
        demand=settings.identity_verification,
        verified=is_proven(IdentityProof(call.user_id, call.user_hash), secrets),
    )


def _log_in_time(call: IdentifyCall) -> int:
    """R8 for a log-in; one without a wall clock was when it was received."""
    wall_micros = call.identify_clock.wall_micros
    return timestamps.place(
        call.received_at_micros if wall_micros is None else wall_micros,
        event_clock=call.identify_clock,
        send_clock=call.send_clock,
        received_at_micros=call.received_at_micros,
    ).occurred_at_micros


def _refuse(*violations: FieldViolation) -> None:
    if violations:
        raise RequestInvalid(*violations)


def _install_violations(install: Install | None) -> list[FieldViolation]:
    violations: list[FieldViolation] = []
    if install is None:
        return violations
    if not 1 <= len(install.install_id) <= limits.ID_CODE_POINTS_MAX:
        violations.append(
            FieldViolation(
                "install.install_id", f"install.install_id is 1 to {limits.ID_CODE_POINTS_MAX} code points."
            )
        )
    if len(install.epoch) != limits.EPOCH_BYTES:
        violations.append(
            FieldViolation("install.epoch", f"install.epoch is {limits.EPOCH_BYTES} random bytes.")
        )
    return violations


def _upload_violations(upload: Upload) -> list[FieldViolation]:
    violations = [
        FieldViolation(field, f"{field} is 0 to {limits.SEQUENCE_MAX}.")
        for field, value in (
            ("last_sequence", upload.last_sequence),
            ("applied_through", upload.applied_through),
        )
        if not 0 <= value <= limits.SEQUENCE_MAX
    ]
    if len(upload.dropped) > limits.UPLOAD_DROPPED_RANGES_MAX:
        violations.append(
            FieldViolation("dropped", f"At most {limits.UPLOAD_DROPPED_RANGES_MAX} dropped ranges an upload.")
        )
    if len(upload.identity_proofs) > limits.UPLOAD_IDENTITY_PROOFS_MAX:
        most = limits.UPLOAD_IDENTITY_PROOFS_MAX
        violations.append(FieldViolation("identity_proofs", f"At most {most} identity proofs an upload."))
    violations.extend(
        FieldViolation(
            f"dropped[{index}]",
            f"A dropped range has 1 <= first_sequence <= last_sequence <= {limits.SEQUENCE_MAX}.",
        )
        for index, dropped in enumerate(upload.dropped)
        if not _is_range(dropped)
    )
    return violations


def _is_range(dropped: DroppedRange) -> bool:
    return 1 <= dropped.first_sequence <= dropped.last_sequence <= limits.SEQUENCE_MAX
