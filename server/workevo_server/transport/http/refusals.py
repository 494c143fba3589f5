"""Refusals that only HTTP knows. What every door knows stands in `domain.errors`."""

from collections.abc import Mapping


class HttpRefusal(Exception):
    """A refusal with its status, a code by which clients tell it, and a sentence that quotes nothing sent."""

    def __init__(
        self,
        status: int,
        code: str,
        sentence: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.sentence = sentence
        self.field = field
        self.headers = headers or {}


def encoding_unknown() -> HttpRefusal:
    return HttpRefusal(
        415,
        "media_type_not_acceptable",
        "Send the body as it is or compressed with gzip.",
        field="Content-Encoding",
        headers={"Accept-Encoding": "gzip"},
    )
