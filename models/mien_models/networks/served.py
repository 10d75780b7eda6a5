"""The served form of a network: uint8 crops in, calibrated answers out, in one graph shared by ONNX and PyTorch."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien_models.errors import ModelError
from mien_models.networks.emotion_dcnn import EmotionDCNN
from mien_models.networks.mini_xception import MiniXception
from mien_models.networks.residual import ResidualNet
from mien_models.networks.simple_cnn import SimpleCNN
from mien_models.networks.ssrnet import SSRNet
from mien_models.networks.vgg16 import VGG16Face
from mien_models.spec import AgeDistributionHead, AgeValueHead, EmotionHead, GenderHead, Head, InputSpec, ModelSpec

_ARCHITECTURES: dict[str, type[nn.Module]] = {
    "emotion_dcnn": EmotionDCNN,
    "mini_xception": MiniXception,
    "residual": ResidualNet,
    "simple_cnn": SimpleCNN,
    "ssrnet": SSRNet,
    "vgg16": VGG16Face,
}
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma, as OpenCV and Pillow convert


def build(spec: ModelSpec) -> nn.Module:
    """Create the network that a specification describes, with initial weights.

    Raises:
        ModelError: The specification has no architecture, or an unknown one.

    """
    if spec.architecture is None:
        raise ModelError(f"model {spec.name} is only an ONNX file; use the runtime onnx")
    if spec.architecture not in _ARCHITECTURES:
        raise ModelError(
            f"model {spec.name}: unknown architecture {spec.architecture!r}; PyTorch runs "
            f"{', '.join(_ARCHITECTURES)}, and the runtime onnx needs none"
        )
    return _ARCHITECTURES[spec.architecture](**spec.options)


def prepare(images: Tensor, spec: InputSpec) -> Tensor:
    """Convert (N, 3, S, S) float RGB images in [0, 255] to the network's input, (N, 1 or 3, S, S)."""
    if spec.colour == "grey":
        weights = torch.tensor(_GREY, device=images.device).view(1, 3, 1, 1)
        images = (images * weights).sum(1, keepdim=True)
    elif spec.colour == "bgr":
        images = images.flip(1)
    return (images - _per_channel(spec.shift, images)) / _per_channel(spec.scale, images)


def _per_channel(value: float | tuple[float, ...], images: Tensor) -> Tensor | float:
    if isinstance(value, tuple):
        return torch.tensor(value, device=images.device).view(1, len(value), 1, 1)
    return value


class ServedModel(nn.Module):
    """Maps (N, S, S, 3) uint8 RGB crops to a dict of float arrays.

    `age`: years, low, high (N,), in years; `gender`: p_male (N,) in [0, 1];
    `emotion`: probabilities (N, 7), rows sum to 1.
    """

    def __init__(self, spec: ModelSpec, net: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.net = net

    def scores(self, crops: Tensor) -> Tensor:
        """Return raw scores for uint8 crops, averaged with the mirror image if the specification requires it."""
        images = prepare(crops.permute(0, 3, 1, 2).float(), self.spec.input)
        scores: Tensor = self.net(images)
        if self.spec.flip:
            scores = (scores + self.net(images.flip(3))) / 2
        return scores

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        return answers_of(self.spec, self.scores(crops))


def answers_of(spec: ModelSpec, scores: Tensor) -> dict[str, Tensor]:
    """Turn a network's scores (N, outputs) into all answers of a model."""
    answers: dict[str, Tensor] = {}
    for head in spec.heads.values():
        answers |= answer(head, scores[:, head.first : head.first + head.count])
    return answers


def answer(head: Head, scores: Tensor) -> dict[str, Tensor]:
    """Convert one head's score columns to its named answers."""
    match head:
        case EmotionHead():
            return {"probabilities": F.softmax(scores / head.temperature, 1)}
        case GenderHead():
            logit = _gender_logit(head, scores)
            return {"p_male": torch.sigmoid((logit if head.high == "male" else -logit) / head.temperature)}
        case AgeDistributionHead():
            return _age_from_distribution(head, scores)
        case AgeValueHead():
            years = scores[:, 0].clamp(min=0.0)
            reach = head.margin + head.slope * years
            return {"years": years, "low": (years - reach).clamp(min=0.0), "high": years + reach}


def _gender_logit(head: GenderHead, scores: Tensor) -> Tensor:
    match head.source:
        case "logit":
            return scores[:, 0]
        case "classes":
            return scores[:, 1] - scores[:, 0]
        case "value":
            value = scores[:, 0].clamp(1e-3, 1 - 1e-3)
            return torch.log(value / (1 - value))


def _age_from_distribution(head: AgeDistributionHead, scores: Tensor) -> dict[str, Tensor]:
    """Return mean and quantiles, each interpolated within the year in which the distribution crosses it."""
    p = F.softmax(scores / head.temperature, 1)
    ages = torch.arange(head.count, device=scores.device, dtype=torch.float32)
    years = (F.softmax(scores, 1) * ages).sum(1)
    total = torch.cumsum(p, 1)

    def quantile(level: float) -> Tensor:
        crossed = ((level - (total - p)) / p.clamp(min=1e-9)).clamp(0.0, 1.0).sum(1)
        return (crossed - 0.5).clamp(min=0.0)

    low = torch.minimum(quantile(head.lower), years)
    return {"years": years, "low": low, "high": torch.maximum(quantile(head.upper), years)}
