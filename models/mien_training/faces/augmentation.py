"""Augment training faces so that they look like crops of photographs: (N, H, H, 3) uint8 in, (N, 3, S, S) float out.

Works on batches of tensors; one CPU core augments some 10,000 faces per second.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mien_training.faces.recipes import Augmentation


def augment(faces: Tensor, size: int, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Return (N, 3, size, size) float RGB in [0, 255], each face augmented independently."""
    images = faces.permute(0, 3, 1, 2).float()
    images = _warp(images, size, how, generator)
    images = _soften(images, how.soften, generator)
    images = _light(images, how.light, generator)
    images = _grey(images, how.grey, generator)
    chosen = _chosen(len(images), how.noise, generator)
    noise = torch.randn(images.shape, generator=generator) * (
        12 * torch.rand(len(images), 1, 1, 1, generator=generator)
    )
    images = images + noise * chosen
    images = _erase(images, how.erase, generator)
    return images.clamp(0, 255)


def _uniform(count: int, reach: float, generator: torch.Generator) -> Tensor:
    return (2 * torch.rand(count, generator=generator) - 1) * reach


def _chosen(count: int, share: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=generator) < share).view(-1, 1, 1, 1)


def _warp(images: Tensor, size: int, how: Augmentation, generator: torch.Generator) -> Tensor:
    count = len(images)
    angle = _uniform(count, how.rotation * math.pi / 180, generator)
    zoom = 1 + _uniform(count, how.scale, generator)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    shift_x, shift_y = _uniform(count, 2 * how.shift, generator), _uniform(count, 2 * how.shift, generator)
    matrix = torch.stack([cos * mirror, -sin, shift_x, sin * mirror, cos, shift_y], 1).view(count, 2, 3)
    grid = F.affine_grid(matrix, [count, 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _soften(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    size = images.shape[-1]
    factor = float(torch.empty(1).uniform_(0.35, 0.8, generator=generator))
    small = F.interpolate(images, size=max(12, round(size * factor)), mode="bilinear", antialias=True)
    soft = F.interpolate(small, size=size, mode="bilinear")
    return torch.where(_chosen(len(images), share, generator), soft, images)


def _light(images: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    count = len(images)
    mean = images.mean((1, 2, 3), keepdim=True)
    contrast = 1 + _uniform(count, reach, generator).view(-1, 1, 1, 1)
    brightness = 1 + _uniform(count, reach, generator).view(-1, 1, 1, 1)
    tint = 1 + _uniform(3 * count, reach / 4, generator).view(-1, 3, 1, 1)
    return ((images - mean) * contrast + mean) * brightness * tint


def _grey(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    grey = images.mean(1, keepdim=True).expand_as(images)
    return torch.where(_chosen(len(images), share, generator), grey, images)


def _erase(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    count, size = len(images), images.shape[-1]
    side = torch.rand(count, 2, generator=generator) * 0.25 + 0.1
    start = torch.rand(count, 2, generator=generator) * (1 - side)
    position = (torch.arange(size) + 0.5) / size

    def inside(axis: int) -> Tensor:
        low = start[:, axis : axis + 1]
        return (position >= low) & (position < low + side[:, axis : axis + 1])

    box = (inside(0)[:, :, None] & inside(1)[:, None, :]).unsqueeze(1) & _chosen(count, share, generator)
    fill = torch.rand(count, 3, 1, 1, generator=generator) * 255
    return torch.where(box, fill, images)
