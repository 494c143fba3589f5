"""JSON as it was sent: members in order and repeated ones kept (R4), numbers exact, nothing judged.

What the standard library makes of a text is what the domain's rules are written for:
NaN, halves of surrogate pairs and numbers of 5,000 digits reach them, each at its key,
and are refused there with a field. Only what is no JSON at all is refused here.
"""

import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from math import isfinite

from workevo_server.domain.naming import is_well_formed, reportable

_DIGITS_OF_AN_INT_MAX = 100  # Beyond any that is kept; Python itself refuses 4,300, and takes long.


class JsonInvalid(ValueError):
    """The text is no JSON, or none that is taken; carries a sentence, and the member at fault."""

    def __init__(self, sentence: str, *, field: str = "body") -> None:
        super().__init__(sentence)
        self.field = field


class JsonObject:
    """The members of one object, as sent."""

    __slots__ = ("members",)

    def __init__(self, members: Sequence[tuple[str, object]]) -> None:
        self.members = members

    def repeated(self) -> str | None:
        """The first name that stands there twice."""
        seen: set[str] = set()
        for name, _ in self.members:
            if name in seen:
                return name
            seen.add(name)
        return None

    def as_dict(self) -> dict[str, object]:
        """Of members with one name the last."""
        return dict(self.members)


def read_json(text: bytes) -> object:
    """Objects as JsonObject, numbers as int or Decimal, what is none as float. Raises JsonInvalid."""
    try:
        return json.loads(
            text.decode("utf-8-sig"),
            object_pairs_hook=JsonObject,
            parse_int=_integer,
            parse_float=_decimal,
        )
    except UnicodeDecodeError:
        raise JsonInvalid("It is not encoded in UTF-8.") from None
    except RecursionError:
        raise JsonInvalid("It is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise JsonInvalid(f"It is no JSON from line {error.lineno}, column {error.colno} on.") from None


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _DIGITS_OF_AN_INT_MAX else _decimal(digits)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # An exponent that no computer has room for.
        return Decimal("Infinity" if "-" not in text.lower().partition("e")[2] else 0)


_DEPTH_MAX = 16
"""Of what is no event: nothing that is taken is nested so deeply."""


def plain(value: object, *, depth: int = 0) -> object:
    """As msgspec takes it: dictionaries, lists, int and float. Raises JsonInvalid for a member told twice."""
    if depth > _DEPTH_MAX:
        raise JsonInvalid("It is nested too deeply.")
    match value:
        case JsonObject():
            repeated = value.repeated()
            if repeated is not None:
                raise JsonInvalid(
                    "A member of an object stands there twice.", field=reportable(repeated)[:255]
                )
            return {_text(name): plain(member, depth=depth + 1) for name, member in value.members}
        case list():
            return [plain(member, depth=depth + 1) for member in value]
        case Decimal() | float():
            return _plain_number(value)
        case str():
            return _text(value)
    return value


def _text(text: str) -> str:
    """A name or a value, which msgspec and the stores can encode."""
    if not is_well_formed(text):
        raise JsonInvalid("It has half of a surrogate pair, which is no character.")
    return text


def _plain_number(value: Decimal | float) -> float:
    number = float(value)
    if not isfinite(number):
        raise JsonInvalid("It has a number that is too large.")
    return number
