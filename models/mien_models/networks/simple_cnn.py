"""simple_CNN: pairs of wide convolutions on a face, to class scores.

Arriaga, Ploeger, Valdenegro: Real-time Convolutional Neural Networks for Emotion and Gender Classification,
arXiv 1710.07557, section III: the fully convolutional network without a dense layer. Same layers as `simple_CNN` of
the released github.com/oarriaga/face_classification, src/models/cnn.py.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

_KERAS_EPS = 1e-3
_WIDTHS = (16, 32, 64, 128)
_KERNELS = (7, 5, 3, 3)
_LAST = 256


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs, eps=_KERAS_EPS, momentum=0.01)
    )


class SimpleCNN(nn.Module):
    """Scores `outputs` classes for (N, `channels`, S, S) images in [0, 1]; S a multiple of 16. Returns (N, outputs)."""

    def __init__(self, *, outputs: int, channels: int = 3) -> None:
        super().__init__()
        blocks = [
            nn.Sequential(
                _conv(inputs, width, kernel),  # no ReLU between the two, as released
                _conv(width, width, kernel),
                nn.ReLU(),
                nn.AvgPool2d(2),
                nn.Dropout(0.5),
            )
            for (inputs, width), kernel in zip(pairwise((channels, *_WIDTHS)), _KERNELS, strict=True)
        ]
        self.blocks = nn.Sequential(*blocks)
        self.last = _conv(_WIDTHS[-1], _LAST, 3)
        self.head = nn.Conv2d(_LAST, outputs, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return torch.mean(self.head(self.last(self.blocks(images))), dim=(2, 3))
