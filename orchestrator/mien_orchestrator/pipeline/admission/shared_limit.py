"""A limit that callers share, such as that of the images in memory: no caller may take all of it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_OF_FREE = 2
"""What a caller may take, as a multiple of what remains free: one caller takes up to 2/3, each of two 2/5."""


class SharedLimit:
    """Counts what callers have of something limited.

    A named caller may have at most twice what remains free (A. Choudhury and E. Hahne, Dynamic Queue Length Thresholds
    for Shared-Memory Packet Switches, 1998). So there is room for a caller that comes, and the room is larger the more
    callers there are. Calls without a name share the whole limit.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        """What all callers have."""
        self._by_caller: Counter[str] = Counter()

    def is_full(self, size: int = 1) -> bool:
        """Return whether there is no room for `size` more."""
        return self.used + size > self.limit

    def exceeds_share(self, caller: str, size: int = 1) -> bool:
        """Return whether `size` more would be above the share of a caller that already has some."""
        own = self._by_caller[caller]
        return bool(caller and own) and own + size > _OF_FREE * (self.limit - self.used)

    def of(self, caller: str) -> int:
        """Return what a caller has."""
        return self._by_caller[caller]

    def ahead(self, caller: str) -> int:
        """Return how many are served before the caller's next one, if callers take turns."""
        own = self._by_caller[caller]
        return own + sum(min(count, own + 1) for other, count in self._by_caller.items() if other != caller)

    @contextmanager
    def taken(self, caller: str, size: int = 1) -> Iterator[None]:
        """Count `size` for a caller during the block."""
        self.used += size
        self._by_caller[caller] += size
        try:
            yield
        finally:
            self.used -= size
            self._by_caller[caller] -= size
            if not self._by_caller[caller]:
                del self._by_caller[caller]
