"""Clients that begin calls and cancel them, and calls in flight at the end of a server."""

import itertools
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc

from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub

_AT_ONCE = 300
"""Calls that are begun before they are cancelled, on one connection."""


def cancel_storm(address: str, image: bytes, seconds: float, connections: int = 1, delay: float = 0.0) -> int:
    """Begin calls and cancel them, at once or after a delay in seconds; returns how many."""
    ends = time.monotonic() + seconds
    count = 0
    with ExitStack() as stack:
        # Without an option of its own, each channel would share one connection.
        stubs = [
            FaceAnalysisServiceStub(
                stack.enter_context(grpc.insecure_channel(address, options=[("mien.connection", number)]))
            )
            for number in range(connections)
        ]
        for stub in itertools.cycle(stubs):
            if time.monotonic() >= ends:
                return count
            calls = [stub.Analyze.future(pb.AnalyzeRequest(image=image)) for _ in range(_AT_ONCE)]
            if delay:
                time.sleep(delay)
            for call in calls:
                call.cancel()
            count += len(calls)
    return count


def terminate(address: str, stop: Callable[[], None], image: bytes, calls: int = 100) -> list[grpc.RpcError]:
    """Begin calls, stop the server once the first is answered, and return the errors of all calls."""
    with ThreadPoolExecutor(calls) as pool, grpc.insecure_channel(address) as channel:
        stub = FaceAnalysisServiceStub(channel)
        begun = [stub.Analyze.future(pb.AnalyzeRequest(image=image), timeout=60) for _ in range(calls)]
        begun[0].result()
        stop()
        return [error for error in pool.map(lambda call: call.exception(), begun) if error]  # type: ignore[misc]


def sigterm(pid: int) -> Callable[[], None]:
    """Return a function that ends a process in order."""
    return lambda: os.kill(pid, signal.SIGTERM)
