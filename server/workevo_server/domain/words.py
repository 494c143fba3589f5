"""The words by which people are looked for: of a name as it is known, and of what somebody types."""

import re
import unicodedata
from collections.abc import Sequence

from workevo_server.domain import naming
from workevo_server.domain.limits import NAME_WORD_CODE_POINTS_MAX, NAME_WORDS_MAX
from workevo_server.domain.metadata import MetadataEntry, Text

_BETWEEN_WORDS = re.compile(r"[\s\-‐-―'’.,;:_()\"/\0]+")
_NAME, _EMAIL = naming.name_key("name"), naming.name_key("email")


def words_of(text: str) -> tuple[bytes, ...]:
    """Each word once, as UTF-8: without case and accents, so that `muller` finds Müller; at most
    `NAME_WORDS_MAX`, each cut at `NAME_WORD_CODE_POINTS_MAX`. Half a surrogate pair becomes a question mark.
    """
    plain = _plain(text)
    found = (word[:NAME_WORD_CODE_POINTS_MAX] for word in _BETWEEN_WORDS.split(plain) if word)
    return tuple(dict.fromkeys(word.encode(errors="replace") for word in found))[:NAME_WORDS_MAX]


def words_of_contact(attributes: Sequence[MetadataEntry]) -> tuple[bytes, ...]:
    """Of its attributes `name` and `email` (keys matched as in R1), where they are texts.

    An address is one word: a visitor's or a lead's stands nowhere else.
    """
    texts = {
        naming.name_key(entry.key): entry.value.value for entry in attributes if isinstance(entry.value, Text)
    }
    address = start_of_address(texts.get(_EMAIL, ""))
    of_name = words_of(texts.get(_NAME, ""))
    return tuple(dict.fromkeys((*of_name, address))) if address else of_name


def start_of_address(text: str) -> bytes:
    """As addresses are kept, in lower case; empty for what cannot be the start of one: it has no @."""
    return text.strip().lower().encode(errors="replace") if "@" in text else b""


def _plain(text: str) -> str:
    """Folded twice: signs like ™ come apart into capitals."""
    folded = unicodedata.normalize("NFKD", text.casefold()).casefold()
    apart = unicodedata.normalize("NFKD", folded)
    return unicodedata.normalize("NFC", "".join(each for each in apart if not unicodedata.combining(each)))
