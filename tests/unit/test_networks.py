"""Tests of the paper's networks: published sizes, and outputs as serving reads them."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from mien_models.networks import EmotionDCNN, MiniXception, SimpleCNN, SSRNet, VGG16Face

NETS: dict[str, tuple[Callable[[], nn.Module], int, tuple[int, int]]] = {
    # net, its parameters with batch normalisation's statistics (as Keras counts), channels and side of its input
    "mini-xception-emotion": (lambda: MiniXception(outputs=7), 58_423, (1, 64)),
    "mini-xception-gender": (lambda: MiniXception(outputs=2), 52_658, (1, 64)),
    "ssrnet": (SSRNet, 40_915, (3, 64)),
    "simple-cnn": (lambda: SimpleCNN(outputs=2), 632_978, (3, 48)),
    "emotion-dcnn": (lambda: EmotionDCNN(outputs=7), 56_883_015, (1, 48)),
    "vgg16": (lambda: VGG16Face(outputs=102), 14_714_688 + 513 * 102, (3, 64)),
}


@pytest.mark.parametrize("name", NETS)
def test_a_network_has_the_published_number_of_parameters(name: str) -> None:
    state = NETS[name][0]().state_dict()
    assert (
        sum(value.numel() for key, value in state.items() if not key.endswith("num_batches_tracked")) == NETS[name][1]
    )


@pytest.mark.parametrize("name", NETS)
def test_a_network_scores_images_independently(name: str) -> None:
    make, _, (channels, side) = NETS[name]
    torch.manual_seed(0)
    net, images = make().eval(), torch.rand(2, channels, side, side)
    with torch.inference_mode():
        scores, alone = net(images), net(images[1:])
    assert scores.ndim == 2
    assert len(scores) == 2
    assert torch.allclose(scores[1:], alone, atol=1e-5)


def test_the_dcnns_wide_layer_takes_what_tflearn_flattened() -> None:
    assert EmotionDCNN(outputs=7).hidden.weight.shape == (3_072, 18_432)


@pytest.mark.parametrize("side", [32, 96, 256])
def test_vgg16_takes_any_multiple_of_32(side: int) -> None:
    with torch.inference_mode():
        assert VGG16Face(outputs=3).eval()(torch.zeros(1, 3, side, side)).shape == (1, 3)
