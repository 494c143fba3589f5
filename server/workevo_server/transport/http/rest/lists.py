"""Lists with a cursor: what is asked of a page, and what is told of the next."""

from msgspec import UNSET, UnsetType

from workevo_server.services.pages import page_size_of
from workevo_server.transport.http.rest import shapes


def size_of(per_page: int | UnsetType | None) -> int:
    return page_size_of(0 if per_page is UNSET or per_page is None else per_page)


def pages(size: int, next_page_token: str) -> shapes.CursorPages:
    after = shapes.StartingAfter(per_page=size, starting_after=next_page_token) if next_page_token else None
    return shapes.CursorPages(per_page=size, next=after)
