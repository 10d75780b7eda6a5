"""The soak: what counts as flat, and that the committed run was."""

import json
from pathlib import Path

import pytest

from soak import FLAT, growth

RESULT = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "soak.json").read_text())
REQUESTS = 10_000


@pytest.mark.parametrize("shape", RESULT)
def test_memory_stayed_flat_in_every_process(shape: str) -> None:
    figures = RESULT[shape]
    assert sum(figures["outcomes"].values()) == figures["requests"] == figures["warm_up"] + REQUESTS
    assert figures["outcomes"].keys() == {"whole", "left", "IMAGE_UNDECODABLE", "IMAGE_EMPTY"}
    assert [name for name, process in figures["processes"].items() if abs(process["change"]) > FLAT] == []


def test_growth_is_told_of_processes_that_lived_through_it() -> None:
    looks = [(answered, {"grows": 100 + answered / 10, "stays": 50.0}) for answered in range(10, 170, 10)]
    looks[9][1]["came"] = 7.0
    told = growth(looks, warm_up=80)
    assert told.keys() == {"grows", "stays"}
    assert told["grows"]["change"] == pytest.approx(115.5 / 109.5 - 1, abs=1e-4)
    assert (told["grows"]["flat"], told["stays"]["flat"]) == (False, True)
