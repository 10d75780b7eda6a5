"""Degrade images at random: lighting, blur, noise, resolution, JPEG; (H, W, 3) uint8 in and out."""

import cv2
import numpy as np
from numpy.typing import NDArray


def degrade(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Change lighting and colours; sometimes add blur, noise or JPEG artefacts, or reduce colour or size."""
    image = _light(image, random)
    if random.random() < 0.12:
        image = _grey(image)
    if random.random() < 0.1:
        image = _coarse(image, random)
    if random.random() < 0.12:
        image = _blurred(image, random)
    if random.random() < 0.15:
        image = _noisy(image, random)
    if random.random() < 0.2:
        image = _compressed(image, random)
    return image


def _light(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Apply gamma, contrast, brightness and tint through one table per channel."""
    if random.random() < 0.2:
        return image
    level = np.linspace(0, 1, 256)
    gamma, contrast = np.exp(random.normal(0, 0.25)), np.exp(random.normal(0, 0.15))
    tint = np.exp(random.normal(0, 0.06, 3)) * np.exp(random.normal(0, 0.1))
    curves = ((level**gamma - 0.5) * contrast + 0.5)[:, None] * tint
    table = (255 * curves).clip(0, 255).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(image, table), np.uint8)


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def _coarse(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Downscale and upscale again, as a low-resolution camera or an enlarged image does."""
    height, width = image.shape[:2]
    factor = random.uniform(0.45, 0.9)
    small = cv2.resize(image, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _blurred(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Apply defocus or linear motion blur."""
    if random.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(0.5, 1.5)), np.uint8)
    length = int(random.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    angle = random.uniform(0, np.pi)
    reach = np.linspace(-(length - 1) / 2, (length - 1) / 2, 2 * length)
    rows, columns = (np.rint(reach * part + (length - 1) / 2).astype(int) for part in (np.sin(angle), np.cos(angle)))
    kernel[rows, columns] = 1
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def _noisy(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    noise = np.empty(image.shape, np.int16)
    cv2.setRNGSeed(int(random.integers(2**31)))
    cv2.randn(noise, (0, 0, 0), (random.uniform(2, 16),) * 3)
    return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)


def _compressed(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    quality = int(random.integers(25, 90))
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1), np.uint8)
