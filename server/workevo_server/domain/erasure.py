"""What outlives a deletion (R32): that an id was deleted and when, and nothing that tells the id."""

import hashlib
import hmac
from dataclasses import dataclass

from workevo_server.domain.events import ContactClaim
from workevo_server.domain.verdicts import Reason, Refusal

CONTACT_ERASED = Refusal(
    reason=Reason.CONTACT_ERASED,
    field="contact",
    message="It occurred before its contact was deleted, or the deletion asked to take nothing more of it.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    erased_at_micros: int
    suppressed: bool
    """Whether what the same id does later is refused as well."""

    def covers(self, occurred_at_micros: int | None) -> bool:
        """Whether what occurred then is refused; what cannot be placed in time may have been before."""
        return self.suppressed or occurred_at_micros is None or occurred_at_micros < self.erased_at_micros


def id_hash(claim: ContactClaim, *, workspace_id: str, secret: bytes) -> bytes:
    """By what a deleted id is recognised; without the store's secret no list of guesses finds it."""
    kind, value = ("user", claim.user_id) if claim.user_id is not None else ("visitor", claim.visitor_id)
    named = f"{workspace_id}/{kind}/{value}".encode(errors="surrogatepass")
    return hmac.digest(secret, named, hashlib.sha256)
