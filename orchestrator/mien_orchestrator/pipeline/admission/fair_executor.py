"""A pool of threads that runs the work of callers in fair order."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from mien_orchestrator.pipeline.admission.fair_queue import FairQueue

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
    """A bounded pool whose waiting work is ordered by `FairQueue`."""

    def __init__(self, threads: int, thread_name_prefix: str) -> None:
        """Use up to `threads` threads, started when needed."""
        super().__init__(threads, thread_name_prefix)
        self._waiting: FairQueue[_Work[Any]] = FairQueue()
        self._waiting_lock = threading.Lock()

    def submit_for(self, caller: str, function: Callable[[], T]) -> "Future[T]":
        """Run a function for a caller when its turn comes; return the future of its result."""
        work = _Work(function)
        with self._waiting_lock:
            self._waiting.push(caller, work)
        self.submit(self._run_next)
        return work.future

    def _run_next(self) -> None:
        """Run the next work in fair order: the pool has as many calls of this as there is work."""
        self._take().run()  # no variable: the traceback of an error leads to this frame too

    def _take(self) -> _Work[Any]:
        with self._waiting_lock:
            return self._waiting.pop()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop the pool; see `Executor.shutdown`."""
        if cancel_futures:
            with self._waiting_lock:
                for work in self._waiting:
                    work.future.cancel()
        super().shutdown(wait, cancel_futures=cancel_futures)
