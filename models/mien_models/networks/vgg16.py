"""VGG16Face: the thirteen convolutions of VGG-16 on a face, to the columns of all heads.

Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv 1409.1556, configuration
D, as Pakulich, Alyamkin, Yakimov use it for age and gender on 256x256 faces: Age estimation using face recognition with
convolutional neural networks, Avtometriya 55(3), 2019. The dense layers are replaced by a global average and one linear
layer, so that the convolutions have nearly all of the parameters.
"""

from torch import Tensor, nn

_WIDTHS = (64, 128, 256, 512, 512)
_DEPTHS = (2, 2, 3, 3, 3)


def _body(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = channels
    for width, depth in zip(_WIDTHS, _DEPTHS, strict=True):
        for _ in range(depth):
            conv = nn.Conv2d(inputs, width, 3, padding=1)
            # Otherwise the signal fades over thirteen layers without normalisation.
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            layers += [conv, nn.ReLU(inplace=True)]
            inputs = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VGG16Face(nn.Module):
    """Scores `outputs` values for (N, `channels`, S, S) images in [-1, 1]; S a multiple of 32. Returns (N, outputs).

    The columns of several heads (an age distribution, a gender logit) are concatenated.
    """

    def __init__(self, *, outputs: int, channels: int = 3) -> None:
        super().__init__()
        self.body = _body(channels)
        self.head = nn.Linear(_WIDTHS[-1], outputs)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(images).mean((2, 3)))
        return scores
