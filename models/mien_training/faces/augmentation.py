"""Augment training faces so that they look like crops of photographs: (N, H, H, 3) uint8 in, (N, 3, S, S) float out.

Works on batches of tensors; one CPU core augments some 10,000 faces per second.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mien_training.faces.recipe import Augmentation

_SOFT = 0.4  # resolution of the softest faces, as a fraction of the original


def augment(faces: Tensor, size: int, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Return (N, 3, size, size) float RGB in [0, 255], each face augmented independently.

    `faces` and `generator` are on one device, where all work is done.
    """
    return degrade(light(warp(faces, size, how, generator), how.light, generator), how, generator)


def warp(faces: Tensor, size: int, how: Augmentation, generator: torch.Generator, extent: float = 1.0) -> Tensor:
    """Zoom, shift, rotate and mirror (N, H, H, 3) uint8 faces; return (N, 3, size, size) float RGB in [0, 255].

    `extent` is the side of the returned square as a multiple of the face image's; the edge pixels are repeated outside.
    """
    images = faces.permute(0, 3, 1, 2).float()
    count = len(images)
    angle = _uniform(count, how.rotation * math.pi / 180, generator)
    zoom = extent * (1 + _uniform(count, how.scale, generator))
    mirror = torch.where(_random(generator, count) < 0.5, -1.0, 1.0)
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    shift_x, shift_y = _uniform(count, 2 * how.shift, generator), _uniform(count, 2 * how.shift, generator)
    matrix = torch.stack([cos * mirror, -sin, shift_x, sin * mirror, cos, shift_y], 1).view(count, 2, 3)
    grid = F.affine_grid(matrix, [count, 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def light(images: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Change contrast, brightness and tint by up to +- `reach`; the values may leave [0, 255]."""
    count = len(images)
    mean = images.mean((1, 2, 3), keepdim=True)
    contrast = 1 + _uniform(count, reach, generator).view(-1, 1, 1, 1)
    brightness = 1 + _uniform(count, reach, generator).view(-1, 1, 1, 1)
    tint = 1 + _uniform(3 * count, reach / 4, generator).view(-1, 3, 1, 1)
    return ((images - mean) * contrast + mean) * brightness * tint


def degrade(images: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Blur, convert to grey, add noise and occlude a part of the faces; return float RGB in [0, 255]."""
    images = _grey(_soften(images, how.soften, generator), how.grey, generator)
    count = len(images)
    noise = torch.randn(images.shape, generator=generator, device=generator.device)
    noise = noise * (12 * _random(generator, count, 1, 1, 1)) * _chosen(count, how.noise, generator)
    return _erase(images + noise, how.erase, generator).clamp(0, 255)


def _random(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _uniform(count: int, reach: float, generator: torch.Generator) -> Tensor:
    return (2 * _random(generator, count) - 1) * reach


def _chosen(count: int, share: float, generator: torch.Generator) -> Tensor:
    return (_random(generator, count) < share).view(-1, 1, 1, 1)


def _soften(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Blend some faces with a version of 0.4 times their resolution."""
    size = images.shape[-1]
    small = F.interpolate(images, size=max(12, round(size * _SOFT)), mode="bilinear", antialias=True)
    soft = F.interpolate(small, size=size, mode="bilinear")
    strength = _chosen(len(images), share, generator) * (0.4 + 0.6 * _random(generator, len(images), 1, 1, 1))
    return images + strength * (soft - images)


def _grey(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    grey = images.mean(1, keepdim=True).expand_as(images)
    return torch.where(_chosen(len(images), share, generator), grey, images)


def _erase(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    count, size = len(images), images.shape[-1]
    side = _random(generator, count, 2) * 0.25 + 0.1
    start = _random(generator, count, 2) * (1 - side)
    position = (torch.arange(size, device=generator.device) + 0.5) / size

    def inside(axis: int) -> Tensor:
        low = start[:, axis : axis + 1]
        return (position >= low) & (position < low + side[:, axis : axis + 1])

    box = (inside(0)[:, :, None] & inside(1)[:, None, :]).unsqueeze(1) & _chosen(count, share, generator)
    fill = _random(generator, count, 3, 1, 1) * 255
    return torch.where(box, fill, images)
