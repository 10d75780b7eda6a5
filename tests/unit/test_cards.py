"""Cards and the README's table are those that the result files make."""

import pytest

import cards
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
