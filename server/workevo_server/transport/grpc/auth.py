"""Who calls (R31): one key, in one `authorization` header, judged before the body is looked at."""

from collections.abc import Iterable

from workevo_server.domain.errors import UnknownKey
from workevo_server.ports.key_ring import KeyRing, Principal
from workevo_server.transport.headers import Headers, values

_HEADER = "authorization"
_SCHEME = "bearer"


def principal_of(metadata: Headers, key_ring: KeyRing) -> Principal:
    """Raises UnknownKey when there is no key, more than one, or one that opens nothing."""
    principal = key_ring.principal(_key(values(metadata, _HEADER)))
    if principal is None:
        raise UnknownKey
    return principal


def _key(headers: Iterable[str]) -> str:
    match [header.split(" ") for header in headers]:
        case [[scheme, key]] if scheme.lower() == _SCHEME and key:
            return key
    raise UnknownKey
