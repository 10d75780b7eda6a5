"""ResidualNet: Mien's own small network, a residual backbone and one linear head.

He et al., Deep Residual Learning, arXiv 1512.03385, with the average-pool shortcut of He et al., Bag of Tricks,
arXiv 1812.01187 (ResNet-D), and optional squeeze-and-excitation of Hu et al., arXiv 1709.01507. Plain 3x3
convolutions: on one CPU core they are faster than separable ones at equal accuracy.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs))


class _Excitation(nn.Module):
    """Squeeze-and-excitation: scales each channel by a function of all channels' global means."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(mean))))


class _Block(nn.Module):
    """Residual block of two 3x3 convolutions; `stride` 2 halves the size."""

    def __init__(self, inputs: int, outputs: int, stride: int, reduction: int) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs, stride)
        self.second = _conv(outputs, outputs)
        self.excitation = _Excitation(outputs, reduction) if reduction else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.excitation(self.second(F.relu(self.first(x)))) + self.shortcut(x))


class ResidualNet(nn.Module):
    """Scores `outputs` values for (N, `channels`, S, S) images in [-1, 1]; S a multiple of 16. Returns (N, outputs).

    `widths` and `depths`: channels and blocks of each stage; `reduction`: of the squeeze-and-excitation, 0 for none.
    """

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        widths: Sequence[int],
        depths: Sequence[int],
        stem_stride: int = 1,
        reduction: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.stem = _conv(channels, widths[0], stem_stride)
        blocks: list[nn.Module] = []
        inputs = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for index in range(depth):
                blocks.append(_Block(inputs, width, 2 if stage > 0 and index == 0 else 1, reduction))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(inputs, outputs)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.blocks(F.relu(self.stem(images)))
        scores: Tensor = self.head(self.dropout(features.mean((2, 3))))
        return scores
