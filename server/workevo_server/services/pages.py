"""How long a page of any list is."""

from workevo_server.domain import limits


def page_size_of(asked: int) -> int:
    """0 asks for the default; more than the largest page gives the largest."""
    if asked <= 0:
        return limits.PAGE_SIZE_DEFAULT
    return min(asked, limits.PAGE_SIZE_MAX)
