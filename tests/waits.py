"""Wait for what is reported nowhere, such as the end of another process's child."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 60, what: str = "the condition holds") -> float:
    """Poll until a condition holds; return the elapsed seconds. Fails after `seconds`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - started
