"""Tests that the catalogue of published files is consistent and fits the networks."""

import re

import pytest
import torch

from mien.errors import ModelError
from mien_models.catalog import PUBLISHED, find
from mien_models.networks import ServedModel, build
from mien_models.networks.served import answer
from mien_models.registry import ANSWERS, Registry
from mien_models.spec import GenderHead

MODELS = {name: published.spec for name, published in PUBLISHED.items() if published.spec}


def test_every_file_has_its_own_digest_and_address() -> None:
    assert len({published.sha256 for published in PUBLISHED.values()}) == len(PUBLISHED) == 9
    assert len({published.url for published in PUBLISHED.values()}) == len(PUBLISHED)
    for name, published in PUBLISHED.items():
        assert published.name == name
        assert re.fullmatch(r"[0-9a-f]{64}", published.sha256)
        assert published.url.startswith("https://")
        assert published.terms


@pytest.mark.parametrize("name", MODELS)
def test_a_specification_fits_its_network(name: str) -> None:
    spec = MODELS[name]
    assert spec.name == name
    served = ServedModel(spec, build(spec)).eval()
    with torch.inference_mode():
        crops = torch.zeros(2, spec.crop.size, spec.crop.size, 3, dtype=torch.uint8)
        assert served.scores(crops).shape == (2, sum(head.count for head in spec.heads.values()))
        assert set(served(crops)) == {answer for task in spec.heads for answer in ANSWERS[task]}


def test_no_published_model_hides_a_shipped_one() -> None:
    assert not PUBLISHED.keys() & {entry.spec.name for entry in Registry().entries()}


def test_an_unknown_name_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"'nose-net'; available: .*ssrnet-age-wiki-published.*yunet"):
        find("nose-net")


def test_a_head_with_high_scores_for_women_is_inverted() -> None:
    scores = torch.tensor([[0.2], [0.9]])
    man, woman = (answer(GenderHead(count=1, source="value", high=high), scores) for high in ("male", "female"))
    assert torch.allclose(man["p_male"], scores[:, 0])
    assert torch.allclose(woman["p_male"], 1 - scores[:, 0])
