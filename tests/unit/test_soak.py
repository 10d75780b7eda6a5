"""Tests of the soak test's evaluation."""

import pytest

from soak import growth


def test_growth_is_computed_for_processes_in_all_samples() -> None:
    samples_mib = [(answered, {"grows": 100 + answered / 10, "stays": 50.0}) for answered in range(10, 170, 10)]
    samples_mib[9][1]["came"] = 7.0
    result = growth(samples_mib, warm_up=80)
    assert result.keys() == {"grows", "stays"}
    assert result["grows"]["change"] == pytest.approx(115.5 / 109.5 - 1, abs=1e-4)
    assert (result["grows"]["flat"], result["stays"]["flat"]) == (False, True)
