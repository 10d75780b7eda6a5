"""FaceDetectorNet: Mien's face detector, a separable backbone with one prediction per cell at strides 8, 16 and 32.

Similar to YuNet (Wu, Peng, Yu, Machine Intelligence Research, 2023) and SCRFD (Guo et al., arXiv 2105.04714):
anchor-free, with boxes and five landmarks in parallel. Its speed on one CPU core comes from channels in multiples of
16 (a vector register), no plain convolution after the first, and coarse levels that are added to the fine ones (Lin
et al., Feature Pyramid Networks, arXiv 1612.03144) instead of concatenated.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
"""Stride of each level, in pixels."""

SCALE = 128.0
"""Divisor of the bytes. There is no shift, so that zero padding is black."""

VALUES = 15
"""Outputs per cell: the score's logit; the box's centre and log size; x and y of five points."""

_PRIOR = 0.01  # initial score of every cell, so that empty cells do not dominate the loss (arXiv 1708.02002)
_SIZE = 3.0  # initial side of every box, in strides


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class _Block(nn.Module):
    """Depthwise, then pointwise convolution, with a residual connection if the shape is unchanged."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.filter = nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False)
        self.norm = nn.BatchNorm2d(inputs)
        self.mix = _conv(inputs, outputs, 1)
        self.added = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mix(F.relu(self.norm(self._filtered(x))))
        return F.relu(x + mixed if self.added else mixed)

    def _filtered(self, x: Tensor) -> Tensor:
        if not self.training or self.filter.stride == (1, 1):
            filtered: Tensor = self.filter(x)
            return filtered
        # Equivalent: PyTorch's gradient of a depthwise convolution takes three times as long with stride 2.
        every = F.conv2d(x, self.filter.weight, padding=1, groups=x.shape[1])
        return every[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)


class FaceDetectorNet(nn.Module):
    """Predicts faces in (N, 3, H, W) RGB images, bytes divided by `SCALE`; H and W multiples of 32.

    Returns (N, P, 15) predictions of all P cells, level by level and row by row, in strides from the cell's corner, as
    `mien_models.detectors.dense` reads them. `widths`: channels at strides 2, 4, 8, 16 and 32; `depths`: further blocks
    at strides 4, 8, 16 and 32.
    """

    def __init__(self, *, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.stem = _conv(3, widths[0], 3, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(_Block(inputs, outputs, stride=2), *(_Block(outputs, outputs) for _ in range(depth)))
            for inputs, outputs, depth in zip(widths[:-1], widths[1:], depths, strict=True)
        )
        neck = widths[-3]
        self.sides = nn.ModuleList(_conv(width, neck, 1) for width in widths[-2:])
        self.heads = nn.ModuleList(_Block(neck, neck) for _ in STRIDES)
        self.outputs = nn.ModuleList(nn.Conv2d(neck, VALUES, 1) for _ in STRIDES)
        self._start()

    def _start(self) -> None:
        for output in self.outputs:
            assert isinstance(output, nn.Conv2d)
            assert output.bias is not None
            nn.init.normal_(output.weight, std=0.01)
            start = torch.tensor([_PRIOR / (1 - _PRIOR), _SIZE]).log()
            with torch.no_grad():
                output.bias.fill_(0.5)  # the cell's centre
                output.bias[0] = start[0]
                output.bias[3:5] = start[1]

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return the predictions as (N, 15, H / stride, W / stride), level by level."""
        x = F.relu(self.stem(images))
        seen = []
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        fine, middle, coarse = seen[-3:]
        coarse = F.relu(self.sides[1](coarse))
        middle = F.relu(self.sides[0](middle) + F.interpolate(coarse, scale_factor=2.0))
        fine = fine + F.interpolate(middle, scale_factor=2.0)
        return [
            output(head(level))
            for output, head, level in zip(self.outputs, self.heads, (fine, middle, coarse), strict=True)
        ]

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([level.flatten(2) for level in self.levels(images)], 2).transpose(1, 2)
