"""Times and clocks between the wire and the domain."""

from google.protobuf.timestamp_pb2 import Timestamp as WireTimestamp

from workevo.tracking.v1 import tracking_pb2 as wire
from workevo_server.domain.errors import FieldViolation, RequestInvalid
from workevo_server.domain.events import ClockReading, WireTime
from workevo_server.domain.limits import CREATED_AT_SECONDS_MAX, ID_CODE_POINTS_MAX

_SECONDS_MIN = -62_135_596_800  # The year 1, where a Timestamp begins.


def time_from_wire(wire_time: WireTimestamp) -> WireTime:
    """As sent, in range or not: R3 judges."""
    return WireTime(seconds=wire_time.seconds, nanos=wire_time.nanos)


def clock_from_wire(wire_clock: wire.Clock) -> ClockReading:
    """What the device told of its clocks; a wall time that is no time is unknown (R8)."""
    return ClockReading(
        wall_micros=_micros_from_wire(wire_clock.wall_time) if wire_clock.HasField("wall_time") else None,
        uptime_millis=wire_clock.uptime_millis if wire_clock.HasField("uptime_millis") else None,
        boot_id=boot_id_from_wire(wire_clock.boot_id),
    )


def boot_id_from_wire(wire_boot_id: str) -> str | None:
    """Unknown when absent or longer than the contract allows: two boots must not look like one."""
    return wire_boot_id if 1 <= len(wire_boot_id) <= ID_CODE_POINTS_MAX else None


def moment_from_wire(wire_time: WireTimestamp, *, field: str = "occurred_at") -> int:
    """Microseconds since 1970. Raises RequestInvalid for what is no time."""
    micros = _micros_from_wire(wire_time)
    if micros is None:
        raise RequestInvalid(FieldViolation(field, f"{field} is a time between 1970 and now."))
    return micros


def micros_to_wire(micros: int) -> WireTimestamp:
    seconds, rest = divmod(micros, 1_000_000)
    return WireTimestamp(seconds=seconds, nanos=rest * 1000)


def _micros_from_wire(wire_time: WireTimestamp) -> int | None:
    if not _SECONDS_MIN <= wire_time.seconds <= CREATED_AT_SECONDS_MAX:
        return None
    if not 0 <= wire_time.nanos < 1_000_000_000:
        return None
    return wire_time.seconds * 1_000_000 + wire_time.nanos // 1000
