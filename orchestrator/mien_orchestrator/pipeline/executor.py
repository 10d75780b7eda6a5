"""Threads for heavy work."""

from concurrent.futures import ThreadPoolExecutor


class BulkheadExecutor(ThreadPoolExecutor):
    """A bounded pool, with a second one for large images.

    Large images take long, and wait for memory: in the pool of the others, a few of them would occupy all threads.
    """

    def __init__(self, threads: int) -> None:
        """Use up to `threads` threads in each pool; they are started when they are needed."""
        super().__init__(threads, thread_name_prefix="mien")
        self.large = ThreadPoolExecutor(threads, thread_name_prefix="mien-large")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop both pools; see `Executor.shutdown`."""
        self.large.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)
