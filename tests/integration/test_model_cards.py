"""Tests of model cards, remotely, locally and on the command line."""

import asyncio
import dataclasses
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import mien
from mien_models.card import CARDS, card
from mien_models.registry import Registry

CLIENT = Path(sys.executable).parent / "client"
NAMES = [entry.spec.name for entry in Registry().entries()]


def test_model_cards_are_equal_locally_remotely_and_with_asyncio(single: str) -> None:
    async def ask() -> list[mien.ModelCard]:
        async with mien.AsyncClient(single) as remote, mien.AsyncClient() as embedded:
            return [await client.model_card(name) for name in NAMES for client in (remote, embedded)]

    with mien.Client(single) as remote, mien.Client() as embedded:
        for name in NAMES:
            reported = remote.model_card(name)
            assert reported == embedded.model_card(name)
            assert reported.model in remote.models()
            assert str(reported) == (CARDS / f"{name}.md").read_text()
        assert asyncio.run(ask()) == [remote.model_card(name) for name in NAMES for _ in range(2)]


@pytest.mark.parametrize("name", ["nobody", "", "x" * 100_000, "../mien-emotion"])
def test_an_unknown_model_is_rejected_with_the_known_ones(single: str, name: str) -> None:
    errors = []
    with mien.Client(single) as remote, mien.Client() as embedded:
        for client in (remote, embedded):
            with pytest.raises(mien.NotFoundError, match="available: mien-age-gender, mien-emotion") as caught:
                client.model_card(name)
            errors.append((caught.value.message, caught.value.reason))
    assert errors[0] == errors[1]
    assert errors[0][1] == "MODEL_UNKNOWN"
    assert len(errors[0][0]) < 1000


@pytest.mark.parametrize("name", [None, b"mien-emotion", "two\nlines", "\ud800"])
def test_an_invalid_name_is_refused_before_it_is_sent(single: str, name: str) -> None:
    with mien.Client(single) as client, pytest.raises(mien.InvalidRequestError, match="a model's name must be text"):
        client.model_card(name)


def test_weights_of_no_release_get_a_card_without_metrics() -> None:
    entry = Registry().get("ssrnet-age")
    assert entry.spec.weights is not None
    other = entry.spec.weights.model_copy(update={"sha256": "0" * 64})
    changed = dataclasses.replace(entry, spec=entry.spec.model_copy(update={"weights": other}))

    assert card(entry) == (CARDS / "ssrnet-age.md").read_text()
    assert f"sha256:{'0' * 64}" in card(changed)
    assert "not weights of a release" in card(changed)
    assert "mean absolute error" not in card(changed)


def test_the_command_prints_markdown_to_a_pipe_and_json_on_request(single: str) -> None:
    plain = subprocess.check_output([CLIENT, "models", "mien-emotion", "--server", single], text=True)
    reported = json.loads(subprocess.check_output([CLIENT, "models", "mien-emotion", "--json", "--server", single]))

    assert plain == (CARDS / "mien-emotion.md").read_text()
    assert reported["markdown"] == plain
    assert reported["model"]["name"] == "mien-emotion"


def test_the_command_formats_the_card_on_a_terminal(single: str) -> None:
    ours, theirs = pty.openpty()
    command = [CLIENT, "models", "mien-emotion", "--server", single]
    with subprocess.Popen(command, stdout=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"}) as running:
        os.close(theirs)
        reported = b""
        while chunk := _read(ours):
            reported += chunk
    os.close(ours)

    assert running.returncode == 0
    assert b"Intended use" in reported
    assert b"## Intended use" not in reported
    assert b"\x1b[" in reported


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how a terminal ends on Linux
        return b""
