"""Pages that fit into one message: a client takes 4 MiB, and 500 events may have more."""

from collections.abc import Awaitable, Callable

from workevo_server.services.pages import page_size_of
from workevo_server.transport.grpc.limits import ANSWER_BYTES_MAX


async def fitting_page(page: Callable[[int], Awaitable[bytes]], *, page_size: int) -> bytes:
    """The page asked for, or a shorter one with the token that goes on from there.

    Shorter pages are within the contract: `page_size` is a wish and the token decides.
    """
    answer = await page(page_size)
    size = page_size_of(page_size)
    while len(answer) > ANSWER_BYTES_MAX and size > 1:
        size //= 2
        answer = await page(size)
    return answer
