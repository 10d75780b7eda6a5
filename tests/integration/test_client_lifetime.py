"""Tests of clients that are closed, dropped, forked, used on another event loop or at the interpreter's exit."""

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mien
from tests.photographs import EXAMPLE
from tests.waits import wait_until

Make = Callable[[], mien.Client | mien.AsyncClient]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def no_local_thread() -> bool:
    return "mien-local" not in {thread.name for thread in threading.enumerate()}


def test_local_clients_that_are_dropped_free_their_threads_and_descriptors() -> None:
    def use() -> None:
        asyncio.run(mien.AsyncClient.local().server_info())

    use()
    gc.collect()
    wait_until(no_local_thread)
    before = descriptors()
    for _ in range(3):
        use()
    for _ in range(50):
        mien.AsyncClient.local()
    gc.collect()
    wait_until(no_local_thread)
    assert descriptors() <= before


def use_plain(server: str) -> None:
    mien.Client(server).server_info()


def use_async(server: str) -> None:
    async def call() -> None:
        await mien.AsyncClient(server).server_info()

    asyncio.run(call())


@pytest.mark.parametrize("use_once", [use_plain, use_async])
def test_remote_clients_that_are_dropped_free_their_threads_and_descriptors(
    single: str, use_once: Callable[[str], None]
) -> None:
    def use() -> None:
        use_once(single)

    use()
    gc.collect()
    before = threading.active_count(), descriptors()
    for _ in range(20):
        use()
    gc.collect()
    wait_until(lambda: threading.active_count() <= before[0] and descriptors() <= before[1])


FORK = """
import os, sys, mien
client = {make}
client.server_info()
child = os.fork()
if child == 0:
    try:
        client.server_info()
    except mien.MienError as error:
        print(error.reason, flush=True)
    client.close()
    client.close()
    del client
    os._exit(7)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), client.server_info().tasks, flush=True)
client.close()
"""


@pytest.mark.parametrize("make", ["mien.Client.local()", "mien.Client({address!r})"])
def test_a_forked_child_gets_a_clear_error_and_can_close(single: str, make: str) -> None:
    code = FORK.format(make=make.format(address=single))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.split("\n")[:2] == ["FORKED", "7 ('age', 'gender', 'emotion')"], result
    assert "Traceback" not in result.stderr


EXIT = """
import atexit, os, mien
def late():
    try:
        print(len(client.analyze(os.environ["EXAMPLE"]).faces))
    except mien.MienError as error:
        print(error.reason)
{register_before}
client = {make}
client.server_info()
{register_after}
"""


@pytest.mark.parametrize("make", ["mien.Client.local()", "mien.Client({address!r})"])
@pytest.mark.parametrize("after", [True, False], ids=["registered last", "registered first"])
def test_a_call_in_an_exit_handler_works_or_gets_a_clear_error(single: str, make: str, after: bool) -> None:
    register = "atexit.register(late)"
    code = EXIT.format(
        make=make.format(address=single),
        register_before="" if after else register,
        register_after=register if after else "",
    )
    environment = os.environ | {"EXAMPLE": str(EXAMPLE)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert result.stdout.strip() == ("EXITING" if "local" in make else "1"), result
    assert "Traceback" not in result.stderr
    assert result.returncode == 0


def test_a_remote_async_client_on_a_second_event_loop_gets_a_clear_error(single: str) -> None:
    client = mien.AsyncClient(single)

    async def use() -> None:
        await client.server_info()

    async def refused() -> None:
        with pytest.raises(mien.MienError, match="an AsyncClient for each event loop") as caught:
            await client.server_info()
        assert caught.value.reason == "OTHER_EVENT_LOOP"

    with asyncio.Runner() as first:
        first.run(use())
        asyncio.run(refused())
        first.run(use())
        first.run(client.close())


async def test_closing_a_remote_async_client_ends_its_calls_with_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = mien.AsyncClient(f"127.0.0.1:{silent.getsockname()[1]}")
        call = asyncio.create_task(client.analyze(b"x", timeout=60))
        connected, _ = await asyncio.to_thread(silent.accept)
        await client.close()
        connected.close()
        with pytest.raises(mien.MienError, match="closed") as caught:
            await asyncio.wait_for(call, 10)
        assert caught.value.reason == "CLIENT_CLOSED"


async def test_a_caller_that_cancels_a_remote_call_gets_its_own_cancellation() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with mien.AsyncClient(f"127.0.0.1:{silent.getsockname()[1]}") as client:
            call = asyncio.create_task(client.analyze(b"x", timeout=60))
            connected, _ = await asyncio.to_thread(silent.accept)
            call.cancel()
            connected.close()
            with pytest.raises(asyncio.CancelledError):
                await call


def test_closing_a_remote_client_ends_its_calls_with_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:
        client = mien.Client(f"127.0.0.1:{silent.getsockname()[1]}")
        call = pool.submit(client.analyze, b"x", timeout=60)
        connected, _ = silent.accept()
        client.close()
        connected.close()
        with pytest.raises(mien.MienError, match="closed"):
            call.result(10)


def test_a_local_async_client_works_on_any_event_loop() -> None:
    client = mien.AsyncClient.local()
    first = asyncio.run(client.analyze(EXAMPLE))
    assert asyncio.run(client.analyze(EXAMPLE)).faces == first.faces
    asyncio.run(client.close())
    with pytest.raises(mien.MienError, match="closed"):
        asyncio.run(client.server_info())


@pytest.mark.parametrize("part", [0, 0.1, 0.4, 0.8])
async def test_a_cancelled_call_of_a_local_client_leaves_it_usable(part: float) -> None:
    """The calls are cancelled after a part of the time that they take."""
    async with mien.AsyncClient.local() as client:
        await client.server_info()
        began = time.monotonic()
        await asyncio.gather(*(client.analyze(EXAMPLE) for _ in range(4)))
        took = time.monotonic() - began
        calls = [asyncio.create_task(client.analyze(EXAMPLE)) for _ in range(4)]
        await asyncio.sleep(part * took)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert all(call.cancelled() or call.result().faces for call in calls)
        assert len((await client.analyze(EXAMPLE)).faces) == 1
