"""The words by which people are looked for: of a name as it is known, and of what somebody types."""

import re
import unicodedata
from collections.abc import Sequence

from workevo_server.domain import naming
from workevo_server.domain.limits import NAME_WORD_CODE_POINTS_MAX, NAME_WORDS_MAX
from workevo_server.domain.metadata import MetadataEntry, Text

_BETWEEN_WORDS = re.compile(r"[\s\-‐-―'’.,;:_()\"/\0]+")
_NAME = naming.name_key("name")


def words_of(text: str) -> tuple[bytes, ...]:
    """Each word once, as UTF-8: without case and accents, so that `muller` finds Müller; at most
    `NAME_WORDS_MAX`, each cut at `NAME_WORD_CODE_POINTS_MAX`. Half a surrogate pair becomes a question mark.
    """
    plain = _plain(text)
    found = (word[:NAME_WORD_CODE_POINTS_MAX] for word in _BETWEEN_WORDS.split(plain) if word)
    return tuple(dict.fromkeys(word.encode(errors="replace") for word in found))[:NAME_WORDS_MAX]


def words_of_name(attributes: Sequence[MetadataEntry]) -> tuple[bytes, ...]:
    """Of a contact's attribute `name` (keys matched as in R1); none where it has no such text."""
    for entry in attributes:
        if naming.name_key(entry.key) == _NAME and isinstance(entry.value, Text):
            return words_of(entry.value.value)
    return ()


def _plain(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(each for each in apart if not unicodedata.combining(each)))
