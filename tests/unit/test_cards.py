"""Cards and the README's table are those that the result files make."""

import json
from hashlib import sha256

import pytest

import cards
import detector_card
from mien_models.detect.spec import SHIPPED
from mien_models.registry import Registry

ENTRIES = Registry().entries()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.spec.name)
def test_a_card_is_current(entry) -> None:
    assert (cards.CARDS / f"{entry.spec.name}.md").read_text() == cards.card(entry), "run models/training/cards.py"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.spec.name)
def test_results_are_of_the_weights_that_ship(entry) -> None:
    found = cards.results(entry.spec.name)
    assert found
    assert {result["digest"] for result in found} == {entry.digest}


def test_the_readme_is_current() -> None:
    document = cards.README.read_text()
    assert cards.filled(document) == document, "run models/training/cards.py"


def test_the_detectors_card_and_table_are_those_of_its_result() -> None:
    result = json.loads(detector_card.RESULT.read_text())
    assert detector_card.CARD.read_text() == detector_card.card(result), "run models/training/detector_card.py"
    document = detector_card.DOCUMENT.read_text()
    assert document == detector_card.filled(document, result), "run models/training/detector_card.py"
    assert result["digest"] == f"sha256:{sha256((SHIPPED.parent / 'mien.onnx').read_bytes()).hexdigest()}"
