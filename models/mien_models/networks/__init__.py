"""PyTorch architectures: (N, C, S, S) float images in, raw scores out. Imports torch; serving with ONNX does not."""

from mien_models.networks.emotion_dcnn import EmotionDCNN
from mien_models.networks.mini_xception import MiniXception
from mien_models.networks.residual import ResidualNet
from mien_models.networks.served import ServedModel, build
from mien_models.networks.simple_cnn import SimpleCNN
from mien_models.networks.ssrnet import SSRNet
from mien_models.networks.vgg16 import VGG16Face

__all__ = ["EmotionDCNN", "MiniXception", "ResidualNet", "SSRNet", "ServedModel", "SimpleCNN", "VGG16Face", "build"]
