"""A pool of threads that runs the work of callers in fair order."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from mien_orchestrator.pipeline.admission.fair_queue import FairQueue, PriorityQueues

_LOW = 10
"""Niceness of the threads of low priority: a tenth of the CPU time of a thread of normal priority, if both need it."""

T = TypeVar("T")


class _Work(Generic[T]):
    """A function and the future of its result."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self.future: Future[T] = Future()

    def run(self) -> None:
        """Run the function, unless the future was cancelled."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._function()
        except BaseException as error:
            self.future.set_exception(error)
            del self  # the traceback has this frame, and the future has the traceback
        else:
            self.future.set_result(result)


class FairExecutor(ThreadPoolExecutor):
    """A bounded pool that serves callers in turns, and whose threads give way to callers that have little to do.

    The only work of a caller runs at normal priority, and its further work on as many threads of low priority: a step
    that was begun cannot be interrupted, but the operating system can let its thread wait.
    """

    def __init__(self, threads: int, thread_name_prefix: str) -> None:
        """Use up to `threads` threads of each priority, started when needed."""
        super().__init__(threads, thread_name_prefix)
        self.low = ThreadPoolExecutor(threads, f"{thread_name_prefix}-low", _lower_priority)
        """The threads of low priority."""
        self._queues: PriorityQueues[_Work[Any]] = PriorityQueues()
        self._lock = threading.Lock()

    def submit_for(self, caller: str, function: Callable[[], T]) -> "Future[T]":
        """Run a function for a caller when its turn comes; return the future of its result."""
        work = _Work(function)
        with self._lock:
            queue = self._queues.push(caller, work)
        work.future.add_done_callback(lambda _: self._finished(caller))
        if queue is self._queues.further:
            self.low.submit(self._run_next, queue)
        else:
            self.submit(self._run_next, queue)
        return work.future

    def _finished(self, caller: str) -> None:
        with self._lock:
            self._queues.finished(caller)

    def _run_next(self, queue: "FairQueue[_Work[Any]]") -> None:
        """Run the next work in fair order: each pool has as many calls of this as there is work in its queue."""
        self._take(queue).run()  # no variable: the traceback of an error leads to this frame too

    def _take(self, queue: "FairQueue[_Work[Any]]") -> _Work[Any]:
        with self._lock:
            return queue.pop()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop the pool; see `Executor.shutdown`."""
        if cancel_futures:
            with self._lock:
                left = list(self._queues)
            for work in left:
                work.future.cancel()
        self.low.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)


def _lower_priority() -> None:
    """Lower the priority of this thread; on Linux, threads have priorities of their own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW)
