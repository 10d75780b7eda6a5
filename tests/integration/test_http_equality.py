"""Tests that HTTP, gRPC and local mode return the same analysis."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import mien
from mien_orchestrator.edge.server import Server
from tests.http_client import fetch
from tests.photographs import EXAMPLE, distinct


@pytest.fixture(scope="module")
def local() -> Iterator[mien.Client]:
    with mien.Client.local() as client:
        yield client


def differing(images: Sequence[bytes], server: Server, local: mien.Client) -> list[int]:
    """Return the places of the images whose analyses are not the same three times, times aside."""
    found = []
    with mien.Client(server.address) as remote:
        for place, image in enumerate(images):
            by_http = fetch(server.http_address, "/v1/analyze", image)
            replies = [remote.analyze(image).to_dict(), local.analyze(image).to_dict(), by_http.json]
            for reply in replies:
                del reply["timing"]
            if not replies[0] == replies[1] == replies[2]:
                found.append(place)
    return found


def test_photographs_have_equal_analyses(single_server: Server, local: mien.Client) -> None:
    assert differing([EXAMPLE.read_bytes(), *distinct(4)], single_server, local) == []


@pytest.mark.shared
@pytest.mark.slow
def test_all_photographs_have_equal_analyses(single_server: Server, local: mien.Client, shared: Path) -> None:
    photographs = sorted(path for path in (shared / "photos").rglob("*.*g") if path.stat().st_size < 4 * 2**20)
    assert len(photographs) > 50
    images = [path.read_bytes() for path in photographs]
    assert [photographs[place].name for place in differing(images, single_server, local)] == []
