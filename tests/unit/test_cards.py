"""Cards, the README's table and the comparison are those that the result files make."""

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
    assert path.read_text() == DOCUMENTS[path], "run cards.py, comparison.py and detector_card.py of models/training"


def test_there_is_no_card_of_a_model_without_results() -> None:
    assert set(cards.CARDS.iterdir()) == DOCUMENTS.keys() - {cards.README, comparison.DOCUMENT, detector_card.DOCUMENT}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.spec.name)
def test_results_are_of_the_weights_that_are_told_of(entry) -> None:
    name = entry.spec.name
    found = collection.figures(name)
    told = [*found.values(), collection.stability(name), collection.cost(name)]
    if name in DEFAULTS.values():
        told.append(collection.precision(name))

    assert found
    assert None not in told, "run mien_training.evaluation.judge (and quantization.py for a default)"
    assert {result["digest"] for result in told if result} == {entry.digest}


def test_the_detectors_result_is_of_the_weights_that_ship() -> None:
    told, sides = collection.detector(), collection.long_sides()

    assert told, "run mien_training.evaluation.judge_detector"
    assert sides, "run mien_training.evaluation.long_side"
    assert (
        told["digest"] == sides["digest"] == f"sha256:{sha256((SHIPPED.parent / 'mien.onnx').read_bytes()).hexdigest()}"
    )


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.spec.name)
def test_a_card_names_groups_worst_group_calibration_cost_terms_and_uses(entry) -> None:
    card = cards.card(entry)
    told = ["## Calibration", "## When the same face", "## Cost", "## Data and terms", "## Use it for, and not for"]
    if entry.spec.heads.keys() & {"age", "gender"}:
        told += ["| gender | female |", "| race group | ", "| age | 20-29 |", "Worst group: "]

    assert [text for text in told if text not in card] == []


def test_every_published_network_that_was_measured_is_in_the_comparison() -> None:
    document = comparison.comparison()
    names = {path.name.partition(".")[0] for path in provenance.RESULTS.glob("*-published.*.json")}

    assert len(names) == 8
    assert [name for name in names if f"| {name} |" not in document] == []


def test_a_verdict_wants_every_figure_at_least_as_good() -> None:
    bins = next(measure for measure in comparison.MEASURES if len(measure.at) == 2)
    age = next(measure for measure in comparison.MEASURES if measure.least)

    assert bins.reached((0.48, 0.87), bins.floor)
    assert not bins.reached((0.49, 0.86), bins.floor)
    assert age.reached((5.8,), age.floor)
    assert not age.reached((5.81,), age.floor)


def test_no_result_names_a_folder_of_a_machine() -> None:
    for path in provenance.RESULTS.glob("*.json"):
        assert " /" not in json.loads(path.read_text())["command"], path.name
