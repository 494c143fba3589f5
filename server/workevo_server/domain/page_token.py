"""Opaque page tokens: where a list goes on, sealed so that only that list takes them.

A token is the base64url text, without padding, of a 16-byte seal and one signed
64-bit integer for each part of the position. The seal is HMAC-SHA256 over the
scope and the position, cut to 16 bytes: a guess succeeds once in 2^128.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

from workevo_server.domain.errors import PageTokenInvalid

_SEAL_BYTES = 16
_PART_BYTES = 8


def encode(position: Sequence[int], *, scope: str, secret: bytes) -> str:
    """A token for the place after `position`, whose parts are 64-bit integers.

    `scope` names all that the list depends on: workspace, method, filter. It is
    not in the token and has to be the same when the token comes back.
    """
    parts = b"".join(part.to_bytes(_PART_BYTES, "big", signed=True) for part in position)
    return _text(_seal(parts, scope, secret) + parts)


def decode(token: str, *, scope: str, secret: bytes, length: int) -> tuple[int, ...]:
    """The position of `length` parts that was encoded under this scope and secret.

    Raises PageTokenInvalid for every other text, and nothing else for any.
    """
    sealed = _sealed_bytes(token, _SEAL_BYTES + _PART_BYTES * length)
    seal, parts = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    if not hmac.compare_digest(seal, _seal(parts, scope, secret)):
        raise PageTokenInvalid
    starts = range(0, len(parts), _PART_BYTES)
    return tuple(int.from_bytes(parts[at : at + _PART_BYTES], "big", signed=True) for at in starts)


def _sealed_bytes(token: str, size: int) -> bytes:
    """Exactly one text stands for the bytes, so a token that was touched anywhere is refused."""
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        raise PageTokenInvalid from None
    if len(sealed) != size or _text(sealed) != token:
        raise PageTokenInvalid
    return sealed


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")


def _seal(parts: bytes, scope: str, secret: bytes) -> bytes:
    named = scope.encode(errors="surrogatepass")
    # Its length first: no scope and position can run together into another pair.
    message = len(named).to_bytes(_PART_BYTES, "big") + named + parts
    return hmac.digest(secret, message, hashlib.sha256)[:_SEAL_BYTES]
