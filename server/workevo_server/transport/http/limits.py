"""Bounds of the HTTP door (docs/RELIABILITY.md)."""

from datetime import timedelta

from workevo_server.domain.limits import UPLOAD_BYTES_MAX

# One connection.
CONNECTIONS_MAX = 8192  # Below the usual limit of file descriptors; each idle one costs some kilobytes.
HANDSHAKE_TIMEOUT = timedelta(seconds=10)
HEAD_TIMEOUT = timedelta(seconds=10)  # From a request's first byte, or the connection, to its last header.
HEAD_BYTES_MAX = 16 * 1024  # Request line and headers; gRPC's metadata may be as long.
KEEP_ALIVE = timedelta(seconds=75)  # Above the 60 that load balancers keep theirs: they hang up first.
LINGER = timedelta(seconds=10)  # What is still sent of a body that was refused is read and forgotten so long.

# One request.
BODY_BYTES_MAX = UPLOAD_BYTES_MAX  # As it came, and again as it was before compression (R9).
BODY_TIMEOUT = timedelta(seconds=30)

# A form of somebody who has shown no key: a sign-in.
STRANGER_FORM_TIMEOUT = timedelta(seconds=5)
STRANGER_FORM_BYTES_MAX = 64 * 1024  # A key, and the page wanted: of a head at most, each byte as three.

# The server.
BACKLOG = 1024

assert 3 * HEAD_BYTES_MAX < STRANGER_FORM_BYTES_MAX <= BODY_BYTES_MAX
