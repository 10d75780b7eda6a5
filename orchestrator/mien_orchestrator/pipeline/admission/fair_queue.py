"""Start-time fair queueing: callers take turns, however much work one of them has waiting."""

import heapq
from collections import Counter
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A queue whose order is fair between callers, and first in, first out for each of them. Not thread-safe.

    P. Goyal, H. Vin and H. Cheng, Start-time Fair Queueing (SIGCOMM 1996), with equal weights: an item begins, in
    virtual time, when its caller's previous item ends, and no earlier than the item that is served now; the earliest
    is next. So the item of a caller that had none waiting is next after at most one item of each other caller.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        """Virtual start time, number and item."""
        self._ends: dict[str, float] = {}
        """Virtual end time of the last item of each caller with a later one than now."""
        self._now = 0.0
        self._number = 0

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[T]:
        """Iterate over the items, in no particular order."""
        return (item for _, _, item in self._heap)

    def push(self, caller: str, item: T, cost: float = 1.0) -> None:
        """Add an item; `cost` is how much service it takes, in any unit."""
        start = max(self._now, self._ends.get(caller, 0.0))
        self._ends[caller] = start + cost
        self._number += 1
        heapq.heappush(self._heap, (start, self._number, item))

    def peek(self) -> T:
        """Return the next item, which stays."""
        return self._heap[0][2]

    def pop(self) -> T:
        """Remove and return the next item."""
        self._now, _, item = heapq.heappop(self._heap)
        if not self._heap:
            self._now = max(self._ends.values(), default=self._now)  # no item waits: all callers are equal again
            self._ends.clear()
        elif len(self._ends) > 2 * len(self._heap) + 1:
            self._ends = {caller: end for caller, end in self._ends.items() if end > self._now}
        return item

    def discard(self, item: T) -> None:
        """Remove an item if it waits."""
        kept = [entry for entry in self._heap if entry[2] is not item]
        if len(kept) < len(self._heap):
            self._heap = kept
            heapq.heapify(self._heap)


class PriorityQueues(Generic[T]):
    """Two fair queues: of the work of callers that have nothing else to do, and of what callers have besides.

    The first has priority: a caller with one request at a time does not wait for the flood of another. Not thread-safe.
    """

    def __init__(self) -> None:
        self.first: FairQueue[T] = FairQueue()
        """The only items of callers, and all items without a caller's name."""
        self.further: FairQueue[T] = FairQueue()
        self._unfinished: Counter[str] = Counter()

    def __iter__(self) -> Iterator[T]:
        """Iterate over the items of both queues, in no particular order."""
        yield from self.first
        yield from self.further

    def push(self, caller: str, item: T, cost: float = 1.0) -> FairQueue[T]:
        """Add an item to the queue that is right for its caller, and return that; see `FairQueue.push`."""
        queue = self.further if caller and self._unfinished[caller] else self.first
        self._unfinished[caller] += 1
        queue.push(caller, item, cost)
        return queue

    def finished(self, caller: str) -> None:
        """Count an item of a caller as finished, after it was served or given up."""
        self._unfinished[caller] -= 1
        if not self._unfinished[caller]:
            del self._unfinished[caller]

    def discard(self, item: T) -> None:
        """Remove an item if it waits."""
        self.first.discard(item)
        self.further.discard(item)
