"""Bounds of the gRPC door: what a connection, a call and the bytes of one may cost (docs/RELIABILITY.md)."""

from datetime import timedelta

from workevo_server.domain.limits import (
    EVENT_BYTES_MAX,
    GRPC_MESSAGE_BYTES_MAX,
    UPLOAD_BYTES_MAX,
    UPLOAD_EVENTS_MAX,
)
from workevo_server.transport.limits import CALL_DEADLINE_MAX

# Calls of a kind.
WATCHERS_MAX = 64  # Streams of the health service: load balancers, not phones.
REFLECTIONS_MAX = 16
HEALTH_ARRIVING_MAX = 64  # Health calls without a key whose body is on its way.
HEALTH_BODY_DEADLINE = timedelta(seconds=5)

# A refusal travels in trailing metadata, of which a client takes 8 KiB.
VIOLATIONS_TOLD_MAX = 8
SENTENCE_CHARACTERS_MAX = 1024

# The bytes of one call.
REQUEST_BYTES_MAX = 64 * 1024  # Of every call but an upload: an id or two and a few attributes.
UPLOAD_FIELDS_MAX = 8192  # Top-level fields walked; 500 events, 1,000 drops and 500 proofs, and room to grow.
EVENT_FIELDS_SALVAGED_MAX = 256  # Fields looked through for the sequence of an event that does not parse.
TURN_BYTES = 64 * 1024  # Bytes of events read before other calls get their turn.
NESTING_MAX = 100  # As the protobuf library has it.
ANSWER_BYTES_MAX = (
    GRPC_MESSAGE_BYTES_MAX - 64 * 1024
)  # A client's own limit is the same 4 MiB; room for framing.

# One connection.
STREAMS_MAX = 100
CONNECTION_IDLE = timedelta(minutes=5)  # Mobile radios vanish.
CONNECTION_AGE = timedelta(minutes=10)  # The core itself spreads it by a tenth either way.
CONNECTION_AGE_GRACE = timedelta(seconds=30)
HANDSHAKE_TIMEOUT = timedelta(seconds=10)
KEEPALIVE_EVERY = timedelta(seconds=60)
KEEPALIVE_TIMEOUT = timedelta(seconds=20)
PING_INTERVAL_MIN = timedelta(seconds=30)
METADATA_BYTES_SOFT_MAX = 8 * 1024
METADATA_BYTES_MAX = 16 * 1024

assert EVENT_BYTES_MAX <= TURN_BYTES <= UPLOAD_BYTES_MAX
assert UPLOAD_EVENTS_MAX < UPLOAD_FIELDS_MAX
assert UPLOAD_BYTES_MAX < ANSWER_BYTES_MAX < GRPC_MESSAGE_BYTES_MAX
assert CALL_DEADLINE_MAX <= CONNECTION_AGE_GRACE
