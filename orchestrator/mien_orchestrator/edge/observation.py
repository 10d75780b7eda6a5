"""Report the start and end of a call to the observers (log, metrics, traces), for all protocols."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import grpc

from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.telemetry.observer import End, Observer

_AT_DEADLINE = 0.05
"""Remaining time in seconds below which a call without a reply counts as late rather than cancelled."""


@contextmanager
def observed(
    context: RequestContext,
    observers: Sequence[Observer],
    remaining: Callable[[], float | None],
    code_of: Callable[[Exception], grpc.StatusCode | None],
) -> Iterator[End]:
    """Observe the call that the block answers; the work for it is cancelled once the block ends.

    Args:
        context: The call's context.
        observers: Observers of its start and end.
        remaining: Returns the seconds until the caller's own deadline; None without one.
        code_of: Returns the status of a call that ended with an exception; None if it is unknown.

    Yields:
        How the call ends, to which the block adds the reply of an analysis.

    """
    started, end = time.perf_counter(), End()
    for observer in observers:
        observer.began(context)
    try:
        yield end
        end.code = grpc.StatusCode.OK
    except asyncio.CancelledError:
        left = remaining()
        late = left is not None and left < _AT_DEADLINE
        end.code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
        raise
    except Exception as error:
        end.code = code_of(error) or end.code
        raise
    finally:
        context.cancelled.set()
        end.seconds = time.perf_counter() - started
        for observer in observers:
            observer.ended(context, end)
