"""Proofs of identity (R19): the app's own back end vouches for a user, by a secret that it shares with us.

user_hash = HMAC-SHA256(secret, user_id) in lower-case hexadecimal
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from datetime import timedelta

from workevo_server.domain.events import IdentityProof
from workevo_server.domain.verdicts import Reason, Refusal

UNVERIFIED_RETRY_DELAY = timedelta(seconds=60)
"""A proof comes with a log-in or from the app's back end, neither of which takes long or happens often."""

UNVERIFIED = Refusal(
    reason=Reason.IDENTITY_UNVERIFIED,
    field="user_id",
    message="This workspace demands user_hash, the HMAC-SHA256 of user_id, and none that was sent is valid.",
)


def is_proven(proof: IdentityProof, secrets: Sequence[bytes]) -> bool:
    """Whether any of the workspace's secrets made it; several are in use while they are rotated."""
    claimed = proof.user_hash.encode(errors="replace")
    user_id = proof.user_id.encode(errors="surrogatepass")
    return any(hmac.compare_digest(claimed, _user_hash(user_id, secret)) for secret in secrets)


def proven_users(proofs: Iterable[IdentityProof], secrets: Sequence[bytes]) -> frozenset[str]:
    """The users of those proofs that are valid."""
    return frozenset(proof.user_id for proof in proofs if is_proven(proof, secrets))


def _user_hash(user_id: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, user_id, hashlib.sha256).hex().encode()
