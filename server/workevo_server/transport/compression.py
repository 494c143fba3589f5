"""Compressed messages, inflated here and not by the core.

The core of gRPC answers a damaged one INTERNAL and a bomb without a typed reason, and
holds 40 MB of it first. So it is told to leave messages as they came, and takes no
encoding but gzip (server.OPTIONS). Whether a message is compressed shows in its first
bytes: as protobuf they would be a field of a wire type that is none, as JSON they are no
character. So HTTP's door asks them too, whatever its headers say.
"""

import zlib

from workevo_server.domain.errors import RequestMalformed, UploadTooLarge
from workevo_server.domain.limits import UPLOAD_BYTES_MAX

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS


def inflated(body: bytes) -> bytes:
    """The message as it was before compression. Raises UploadTooLarge (R9) or RequestMalformed."""
    if not body.startswith(_GZIP_MAGIC):
        return body
    stream = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        message = stream.decompress(body, UPLOAD_BYTES_MAX + 1)
    except zlib.error:
        raise RequestMalformed from None
    if len(message) > UPLOAD_BYTES_MAX:
        raise UploadTooLarge(f"Uncompressed, a request has at most {UPLOAD_BYTES_MAX} bytes. Send half.")
    if not stream.eof or stream.unused_data:
        raise RequestMalformed
    return message
