"""mini-Xception: separable convolutions on a grey face, to class scores.

Arriaga, Ploeger, Valdenegro: Real-time Convolutional Neural Networks for Emotion and Gender Classification,
arXiv 1710.07557, figure 4. Same layers as the released Keras network, so its weights can be imported.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_KERAS_EPS = 1e-3


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_KERAS_EPS, momentum=0.01)


class _Separable(nn.Sequential):
    """Depthwise 3x3 convolution, pointwise convolution, batch normalisation; the size is unchanged."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            _batch_norm(outputs),
        )


class _SameMaxPool(nn.Module):
    """3x3 max pooling, stride 2, with Keras' 'same' padding: right and bottom only if the size is even."""

    def forward(self, x: Tensor) -> Tensor:
        low = [0 if size % 2 == 0 else 1 for size in x.shape[-2:]]
        return F.max_pool2d(F.pad(x, (low[1], 1, low[0], 1), value=float("-inf")), 3, 2)


class _Module(nn.Module):
    """Residual module that halves the size: two separable convolutions with a strided 1x1 shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(_Separable(inputs, outputs), nn.ReLU(), _Separable(outputs, outputs), _SameMaxPool())
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), _batch_norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.main(x) + self.shortcut(x)
        return halved


class MiniXception(nn.Module):
    """Scores `outputs` classes for (N, `channels`, S, S) images in [-1, 1]; S is 48 or 64. Returns (N, outputs)."""

    def __init__(self, *, outputs: int, channels: int = 1) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 8, 3, bias=False), _batch_norm(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, bias=False), _batch_norm(8), nn.ReLU(),
        )  # fmt: skip
        widths = (8, 16, 32, 64, 128)
        self.stages = nn.Sequential(*(_Module(a, b) for a, b in pairwise(widths)))
        self.head = nn.Conv2d(widths[-1], outputs, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.stages(self.stem(images))
        return torch.mean(self.head(features), dim=(2, 3))
