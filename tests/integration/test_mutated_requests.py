"""Tests of corrupt HTTP requests: no crash, no silent 500, flat memory, a JSON error. `make fuzz` sends 2,000."""

import json
import os
import random
import select
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.http_client import Answer, connect, fetch, receive
from tests.photographs import EXAMPLE, encoded
from tests.request_mutations import mutated, requests
from tests.servers import http_url, serve_command

COUNT = int(os.environ.get("FUZZ", "200"))
"""Number of corrupt requests; the environment variable FUZZ overrides it."""

MOST_MIB = 60
"""Accepted growth of memory after the first requests."""

PATIENCE_SECONDS = 1.0
"""Time after which a request is taken for one that the server waits for the rest of."""

STATUSES = {200, 204, 400, 401, 403, 404, 405, 413, 415, 421, 426, 429, 431, 501, 504, 505}


def answer_to(url: str, sent: bytes) -> Answer | None:
    """Send bytes and return the first answer; None if the server waits for more, or only closes."""
    with connect(url) as connection:
        try:
            connection.sendall(sent)
            if not select.select([connection], [], [], PATIENCE_SECONDS)[0]:
                connection.shutdown(socket.SHUT_WR)
            return receive(connection, "HEAD" if sent.startswith(b"HEAD") else "GET")
        except (HTTPException, ConnectionError):
            return None
        except TimeoutError:
            assert b"100-continue" in sent, sent  # which was answered with 100, and the body did not follow
            return None


@pytest.mark.timeout(3600)
def test_a_corrupt_request_is_answered_or_refused(tmp_path: Path) -> None:
    with Image.open(EXAMPLE) as file:
        valid = requests(encoded(file.convert("RGB").resize((160, 160)), "JPEG"))
    chance, found = random.Random(0), Counter[str]()
    log = tmp_path / "log"
    with serve_command(log) as (_, process), ThreadPoolExecutor(16) as pool:
        url, server = http_url(process), psutil.Process(process.pid)
        for sent in valid * 4:  # so that later growth is caused by corrupt ones
            assert answer_to(url, sent)
        before = server.memory_info().rss
        corrupt = [mutated(valid, chance) for _ in range(COUNT)]
        for sent, answer in zip(corrupt, pool.map(lambda sent: answer_to(url, sent), corrupt), strict=True):
            found[str(answer.status) if answer else "closed"] += 1
            if answer and answer.status >= 400 and not sent.startswith(b"HEAD"):
                assert {"code", "message", "details"} == json.loads(answer.body).keys()
        grown = (server.memory_info().rss - before) / 2**20
        assert fetch(url, "/readyz").status == 200
    print({"outcomes": dict(found), "grown_mib": round(grown, 1)})  # `make fuzz` shows it
    assert found.keys() - {"closed"} <= {str(status) for status in STATUSES}
    assert found["closed"] < COUNT / 3
    assert "Traceback" not in log.read_text()
    assert grown < MOST_MIB
