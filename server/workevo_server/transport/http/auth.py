"""Who calls (R31): one key, as Bearer or as the user name of Basic, judged before the body is looked at."""

import base64
from collections.abc import Sequence

from workevo_server.domain.errors import UnknownKey
from workevo_server.ports.key_ring import KeyRing, Principal


def principal_of(authorizations: Sequence[str], key_ring: KeyRing) -> Principal:
    """Raises UnknownKey when there is no key, more than one, or one that opens nothing."""
    principal = key_ring.principal(_key(authorizations))
    if principal is None:
        raise UnknownKey
    return principal


def _key(authorizations: Sequence[str]) -> str:
    match [header.split(" ") for header in authorizations]:
        case [[scheme, key]] if scheme.lower() == "bearer" and key:
            return key
        case [[scheme, encoded]] if scheme.lower() == "basic":
            return _user_name(encoded)
    raise UnknownKey


def _user_name(encoded: str) -> str:
    """What stands before the colon; keys have none. What follows is a password that nobody needs."""
    try:
        name, _, _ = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        raise UnknownKey from None
    return name
