"""Event names and metadata keys: which are one (R1), how they show (R2), which are refused."""

import re
import unicodedata

from workevo_server.domain.identifiers import NameKey
from workevo_server.domain.limits import METADATA_KEY_CODE_POINTS_MAX, NAME_CODE_POINTS_MAX
from workevo_server.domain.verdicts import Reason, Refusal
from workevo_server.domain.workspace import KeyCharset

STRICT_FORBIDDEN = frozenset(".$~`!@#%^&*'{}|\\\"\0")
"""What neither a name nor a key may have where the workspace sets `key_charset = "strict"` (R1)."""

_DASHES_AND_SPACES = re.compile("[- ]+")


def name_key(text: str) -> NameKey:
    """What two spellings of one name, or of one metadata key, have in common (R1)."""
    composed = unicodedata.normalize("NFC", text.strip())
    return NameKey(unicodedata.normalize("NFC", composed.casefold()))


def comparable_key(text: str) -> NameKey | None:
    """The key of a name that a stored one can have; None for one that is too long or is no Unicode.

    Nothing stored matches such a one, no store takes it, and normalising takes the square of its length.
    """
    if len(text.strip()) > NAME_CODE_POINTS_MAX or not is_well_formed(text):
        return None
    return name_key(text)


def display_name(text: str) -> str:
    """How an event name or metadata key is shown (R2); never empty unless `text` is.

    Composed once more at the end, as some letters come apart when upper-cased.
    """
    shown = unicodedata.normalize("NFC", _DASHES_AND_SPACES.sub(" ", text).strip())
    return unicodedata.normalize("NFC", shown[:1].upper() + shown[1:]) or text


def judge_name(name: str, *, charset: KeyCharset) -> str | Refusal:
    """The name without the white space around it, or why it is none (R1)."""
    trimmed = name.strip()
    if not 1 <= len(trimmed) <= NAME_CODE_POINTS_MAX:
        return _name_refusal(f"An event name has 1 to {NAME_CODE_POINTS_MAX} code points after trimming.")
    fault = _character_fault(trimmed, charset)
    return _name_refusal(fault) if fault else trimmed


def judge_key(key: str, *, charset: KeyCharset) -> Refusal | None:
    """Why a metadata key is refused (R4). Keys are kept as sent; one of white space alone names nothing."""
    if not key.strip() or len(key) > METADATA_KEY_CODE_POINTS_MAX:
        return _key_refusal(key, f"A metadata key has 1 to {METADATA_KEY_CODE_POINTS_MAX} code points.")
    fault = _character_fault(key, charset)
    return _key_refusal(key, fault) if fault else None


def is_well_formed(text: str) -> bool:
    """False when half a surrogate pair is in it: JSON can carry one, no store and no wire of ours can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def reportable(key: str) -> str:
    """The key as an answer can carry it: what is not Unicode shows as a question mark."""
    return key.encode(errors="replace").decode()


def _character_fault(text: str, charset: KeyCharset) -> str | None:
    if not is_well_formed(text):
        return "The text has half of a surrogate pair, which is no character."
    if charset is KeyCharset.STRICT and not STRICT_FORBIDDEN.isdisjoint(text):
        return "This workspace takes no dots, dollar signs, NUL or ~`!@#%^&*'{}|\\\" in names and keys."
    return None


def _name_refusal(message: str) -> Refusal:
    return Refusal(reason=Reason.NAME_INVALID, field="name", message=message)


def _key_refusal(key: str, message: str) -> Refusal:
    return Refusal(reason=Reason.METADATA_KEY_INVALID, field=reportable(key), message=message)
