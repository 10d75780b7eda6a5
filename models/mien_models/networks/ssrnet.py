"""SSR-Net: two small streams on a face, to one number that is refined in stages.

Yang, Huang, Lin, Hsiu, Chuang: SSR-Net, a Compact Soft Stagewise Regression Network for Age Estimation, IJCAI 2018.
Same layers as the released Keras network with stages (3, 3, 3), so its weights can be imported.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_KERAS_EPS = 1e-3
_BINS = 3
_MAP = 10


def _stream(channels: int, width: int, activation: type[nn.Module], pool: type[nn.Module]) -> nn.ModuleList:
    blocks = nn.ModuleList()
    for index in range(4):
        layers = [
            nn.Conv2d(channels if index == 0 else width, width, 3),
            nn.BatchNorm2d(width, eps=_KERAS_EPS, momentum=0.01),
            activation(),
        ]
        blocks.append(nn.Sequential(*layers, *([pool(2)] if index < 3 else [])))
    return blocks


class _Stage(nn.Module):
    """Fuses the two streams at one depth into a shift `delta` (N,), offsets `eta` and weights `p` (N, 3)."""

    def __init__(self, widths: tuple[int, int], pool: int, side: int) -> None:
        super().__init__()
        self.pool = pool
        self.reduce = nn.ModuleList(nn.Conv2d(width, _MAP, 1) for width in widths)
        flat = _MAP * side * side
        self.delta = nn.Linear(flat, 1)
        self.mix = nn.ModuleList(nn.Linear(flat, _BINS) for _ in widths)
        self.hidden = nn.Linear(_BINS, 2 * _BINS)
        self.weights = nn.Linear(2 * _BINS, _BINS)
        self.offsets = nn.Linear(2 * _BINS, _BINS)
        self.dropout = nn.Dropout(0.2)

    def _flat(self, x: Tensor, stream: int) -> Tensor:
        x = F.relu(self.reduce[stream](x))
        if self.pool > 1:
            x = F.avg_pool2d(x, self.pool) if stream == 0 else F.max_pool2d(x, self.pool)
        return x.permute(0, 2, 3, 1).flatten(1)  # Keras flattens height, width, channel

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flat_a, flat_b = self._flat(a, 0), self._flat(b, 1)
        delta = torch.tanh(self.delta(flat_a * flat_b)).squeeze(1)
        mixed = F.relu(self.mix[0](self.dropout(flat_a))) * F.relu(self.mix[1](self.dropout(flat_b)))
        hidden = F.relu(self.hidden(mixed))
        return delta, torch.tanh(self.offsets(hidden)), F.relu(self.weights(hidden))


class SSRNet(nn.Module):
    """Regresses (N, 3, 64, 64) BGR images in [0, 255] to (N, 1) values in about [0, `span`]."""

    def __init__(self, *, span: float = 101.0) -> None:
        super().__init__()
        self.span = span
        self.stream_a = _stream(3, 32, nn.ReLU, nn.AvgPool2d)
        self.stream_b = _stream(3, 16, nn.Tanh, nn.MaxPool2d)
        self.stages = nn.ModuleList(_Stage((32, 16), pool, side) for pool, side in ((1, 4), (4, 3), (8, 3)))

    def forward(self, images: Tensor) -> Tensor:
        maps_a, maps_b = [], []
        a = b = images
        for block_a, block_b in zip(self.stream_a, self.stream_b, strict=True):
            a, b = block_a(a), block_b(b)
            maps_a.append(a)
            maps_b.append(b)
        bins = torch.arange(_BINS, device=images.device, dtype=torch.float32)
        first = images[:, 0, 0, 0]  # the batch size as a shape: an ONNX export would freeze `len(images)`
        value, width = torch.zeros_like(first), torch.ones_like(first)
        for stage, depth in zip(self.stages, (3, 1, 0), strict=True):
            delta, eta, p = stage(maps_a[depth], maps_b[depth])
            width = width * _BINS * (1 + delta.float())
            value = value + (p.float() * (bins + eta.float())).sum(1) / width
        return (self.span * value).unsqueeze(1)
