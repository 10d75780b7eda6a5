"""PyTorch architectures: (N, C, S, S) float images in, raw scores out. Imports torch; the embedded path never does."""

from mien_models.nets.mini_xception import MiniXception
from mien_models.nets.residual import ResidualNet
from mien_models.nets.served import ServedModel, build
from mien_models.nets.ssrnet import SSRNet

__all__ = ["MiniXception", "ResidualNet", "SSRNet", "ServedModel", "build"]
