"""Tests that committed benchmark results are of the shipped weights, and that their page is current."""

import json
from pathlib import Path

import pytest

import report
import rollout
import video_report
import weights
from alternatives import page
from alternatives.results import Comparison
from measurements import Results

RESULTS = Path(report.RESULTS)


@pytest.mark.parametrize("name", [name for name in weights.FILES if name not in weights.UNKNOWN])
def test_a_result_is_of_the_shipped_weights(name: str) -> None:
    assert weights.changed(RESULTS / name) == [], "the weights have changed: run the file's `command` again"


@pytest.mark.parametrize("name", weights.UNKNOWN)
def test_a_result_with_recorded_weights_is_not_listed_as_unknown(name: str) -> None:
    assert weights.changed(RESULTS / name) is None, f"remove {name} from weights.UNKNOWN"


def test_changed_weights_are_detected(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"weights": weights.defaults("mien") | {"mien-emotion": "sha256:0"}}))
    assert weights.changed(result) == ["mien-emotion"]
    assert weights.status(result) == "older weights of mien-emotion: measure again"
    result.write_text(json.dumps({"weights": weights.defaults("mien")}))
    assert weights.status(result) == "shipped"


def test_the_page_of_videos_is_generated_from_its_results() -> None:
    text = video_report.PAGE.read_text(encoding="utf-8")
    assert video_report.page(text, json.loads(video_report.RESULT.read_text())) == text


def test_the_measured_part_of_the_page_of_rollouts_is_generated_from_its_results() -> None:
    text = rollout.PAGE.read_text(encoding="utf-8")
    assert rollout.page(text, json.loads((RESULTS / "rollout.json").read_text())) == text


def test_the_benchmark_page_is_generated_from_the_results(tmp_path: Path) -> None:
    report.write_report(Results.read(RESULTS / "systems.json"), tmp_path)
    page = Path(report.DOCUMENTS) / "benchmarks.md"
    assert page.read_text(encoding="utf-8") == (tmp_path / "benchmarks.md").read_text(encoding="utf-8")


def test_the_page_of_other_systems_is_generated_from_the_results() -> None:
    text = page.document(Comparison.read(RESULTS / "alternatives.json"))
    assert page.PAGE.read_text(encoding="utf-8") == text
