"""Tests that the cards, the README's table and the comparison are generated from the result files."""

import json
from hashlib import sha256

import pytest

from mien_models.detectors.spec import SHIPPED
from mien_models.registry import DEFAULTS
from mien_training.reports import cards, comparison, detector_card
from mien_training.results import collection, provenance

ENTRIES = collection.entries()
DOCUMENTS = cards.documents() | comparison.documents() | detector_card.documents()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_is_current(path) -> None:
    assert path.read_text() == DOCUMENTS[path], "run mien_training.reports.cards, .comparison and .detector_card"


def test_every_card_belongs_to_a_measured_model() -> None:
    assert set(cards.CARDS.iterdir()) == DOCUMENTS.keys() - {cards.README, comparison.DOCUMENT, detector_card.DOCUMENT}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.spec.name)
def test_results_are_of_the_current_weights(entry) -> None:
    name = entry.spec.name
    found = collection.results(name)
    results = [*found.values(), collection.robustness(name), collection.cost(name)]
    if name in DEFAULTS.values():
        results.append(collection.precision(name))

    assert found
    assert None not in results, "run mien_training.evaluation.judge (and .quantization for a default)"
    digests = {result["digest"] for result in results if result}
    assert digests <= {f"sha256:{file.sha256}" for file in (entry.spec.weights, entry.spec.int8) if file}


@pytest.mark.parametrize("path", sorted(provenance.RESULTS.glob("mien.*.json")), ids=lambda path: path.name)
def test_the_detectors_results_are_of_the_shipped_weights(path) -> None:
    digest = sha256((SHIPPED.parent / "mien.onnx").read_bytes()).hexdigest()
    assert json.loads(path.read_text())["digest"] == f"sha256:{digest}", "run the file's `command` again"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.spec.name)
def test_a_card_has_metrics_by_group_calibration_cost_terms_and_intended_use(entry) -> None:
    card = cards.card(entry)
    required = ["## Calibration", "## Robustness", "## Cost", "## Data and terms", "## Intended use"]
    if entry.spec.heads.keys() & {"age", "gender"}:
        required += ["| gender | female |", "| race group | ", "| age | 20-29 |", "Worst group: "]

    assert [text for text in required if text not in card] == []


def test_the_comparison_contains_every_measured_published_network() -> None:
    document = comparison.comparison()
    names = {path.name.partition(".")[0] for path in provenance.RESULTS.glob("*-published.*.json")}

    assert len(names) == 8
    assert [name for name in names if f"| {name} |" not in document] == []


def test_a_baseline_is_met_only_if_every_metric_meets_it() -> None:
    bins = next(measure for measure in comparison.MEASURES if len(measure.at) == 2)
    age = next(measure for measure in comparison.MEASURES if measure.least)

    assert bins.reached((0.48, 0.87), bins.baseline)
    assert not bins.reached((0.49, 0.86), bins.baseline)
    assert age.reached((5.8,), age.baseline)
    assert not age.reached((5.81,), age.baseline)


def test_results_contain_no_absolute_path() -> None:
    for path in provenance.RESULTS.glob("*.json"):
        assert " /" not in json.loads(path.read_text())["command"], path.name
