"""EmotionDCNN: three convolutions and one very wide dense layer on a grey face, to class scores.

Correa, Jonker, Ozo, Stolk: Emotion Recognition using Deep Convolutional Neural Networks, TU Delft, 2016: the final
network. Same layers as the released github.com/isseu/emotion-recognition-neural-networks, emotion_recognition.py.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SIDE = 48
_HIDDEN = 3072


class _SamePad(nn.Module):
    """Pads as TFLearn's 'same' does if the sum is odd: one more at the right and bottom."""

    def __init__(self, before: int, after: int, value: float) -> None:
        super().__init__()
        self.pads = (before, after, before, after)
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.pads, value=self.value)


def _pool() -> list[nn.Module]:
    return [_SamePad(0, 1, float("-inf")), nn.MaxPool2d(3, 2)]


class EmotionDCNN(nn.Module):
    """Scores `outputs` classes for (N, `channels`, 48, 48) images in [0, 1]. Returns (N, outputs)."""

    def __init__(self, *, outputs: int, channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 64, 5, padding=2), nn.ReLU(), *_pool(),
            nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(), *_pool(),
            _SamePad(1, 2, 0.0), nn.Conv2d(64, 128, 4), nn.ReLU(),
        )  # fmt: skip
        self.dropout = nn.Dropout(0.7)  # TFLearn's `dropout(network, 0.3)` specifies the fraction kept
        self.hidden = nn.Linear(128 * (_SIDE // 4) ** 2, _HIDDEN)
        self.head = nn.Linear(_HIDDEN, outputs)

    def forward(self, images: Tensor) -> Tensor:
        flat = torch.flatten(self.dropout(self.features(images)), 1)
        scores: Tensor = self.head(F.relu(self.hidden(flat)))
        return scores
