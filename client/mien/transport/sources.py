"""The requests of a stream, as a caller provides them: an error of theirs ends the stream and reaches the caller."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


def _ignore() -> object:
    """Do nothing."""
    return None


class Source(Generic[T]):
    """Requests that are iterated in another thread than the replies."""

    def __init__(self, requests: Iterable[T]) -> None:
        self._requests = requests
        self._error: Exception | None = None
        self.failed: Callable[[], object] = _ignore
        """Called when iterating the requests raised an error."""

    def requests(self) -> Iterator[T]:
        """Yield the requests; an error is kept, and ends them."""
        try:
            yield from self._requests
        except Exception as error:
            self._error = error
            self.failed()

    def check(self) -> None:
        """Raise the error that ended the requests, if there was one."""
        if self._error:
            raise self._error


class AsyncSource(Generic[T]):
    """As `Source`, for asyncio."""

    def __init__(self, requests: AsyncIterable[T]) -> None:
        self._requests = requests
        self._error: Exception | None = None
        self.failed: Callable[[], object] = _ignore
        """Called when iterating the requests raised an error."""

    async def requests(self) -> AsyncIterator[T]:
        """Yield the requests; an error is kept, and ends them."""
        try:
            async for request in self._requests:
                yield request
        except Exception as error:
            self._error = error
            self.failed()

    def check(self) -> None:
        """Raise the error that ended the requests, if there was one."""
        if self._error:
            raise self._error
