"""PyTorch architectures: (N, C, S, S) float images in, raw scores out. Imports torch; the embedded path never does."""

from mien_models.nets.emotion_dcnn import EmotionDCNN
from mien_models.nets.mini_xception import MiniXception
from mien_models.nets.residual import ResidualNet
from mien_models.nets.served import ServedModel, build
from mien_models.nets.simple_cnn import SimpleCNN
from mien_models.nets.ssrnet import SSRNet
from mien_models.nets.vgg16 import VGG16Face

__all__ = ["EmotionDCNN", "MiniXception", "ResidualNet", "SSRNet", "ServedModel", "SimpleCNN", "VGG16Face", "build"]
