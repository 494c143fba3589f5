"""What counts as a link, and which links are images (R5)."""

import re
from urllib.parse import SplitResult, urlsplit

from workevo_server.domain.limits import LINK_CODE_POINTS_MAX
from workevo_server.domain.naming import is_well_formed

_ABSOLUTE = re.compile("https?://", re.IGNORECASE)
_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".avif")


def is_link(text: str) -> bool:
    """An absolute http or https URL with a host and neither spaces nor control characters."""
    return _parts(text) is not None


def is_image_link(text: str) -> bool:
    """A link whose path ends as the names of images do."""
    parts = _parts(text)
    return parts is not None and parts.path.lower().endswith(_IMAGE_SUFFIXES)


def _parts(text: str) -> SplitResult | None:
    if len(text) > LINK_CODE_POINTS_MAX or not _ABSOLUTE.match(text):
        return None
    if _SPACE_OR_CONTROL.search(text) or not is_well_formed(text):
        return None
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it is what finds a port that is none.
    except ValueError:
        return None
    return parts if parts.hostname else None
