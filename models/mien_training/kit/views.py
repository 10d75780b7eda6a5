"""Sample batches of faces on the device, augmented for a teacher and for a student."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mien_models.networks.served import prepare
from mien_models.spec import InputSpec
from mien_training.faces.augmentation import degrade, light, warp
from mien_training.faces.recipe import Augmentation
from mien_training.kit.package import Kit

_SHIFT = 0.06  # largest shift of the student's view against the teacher's, as a share of the side

Labels = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Mix:
    """Two images blended into one (mixup, Zhang et al., arXiv 1710.09412): `share` of each, the rest of another's."""

    order: Tensor
    share: float

    def blend(self, images: Tensor) -> Tensor:
        """Blend each image with the one that `order` gives it."""
        return self.share * images + (1 - self.share) * images[self.order]


class Faces:
    """The training faces of a kit on a device."""

    def __init__(self, kit: Kit, device: torch.device, seed: int) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)
        self._images = torch.from_numpy(kit.train.images).to(device)
        self._labels = {
            name: torch.from_numpy(np.asarray(getattr(kit.train, name))).to(device)
            for name in ("emotion", "votes", "male", "age")
        } | {"foreign": torch.from_numpy(kit.foreign).to(device)}
        self._weight = torch.from_numpy(kit.weight).to(device)
        self._mixes = np.random.default_rng(seed)

    def draw(self, count: int) -> tuple[Tensor, Labels]:
        """Sample faces by their weights: (N, H, H, 3) uint8 and their labels."""
        rows = torch.multinomial(self._weight, count, replacement=True, generator=self.generator)
        return self._images[rows], {name: values[rows] for name, values in self._labels.items()}

    def mix(self, count: int, share: float) -> Mix | None:
        """Return a mix for `share` of the calls, None for the others."""
        if self._mixes.random() >= share:
            return None
        order = torch.randperm(count, generator=self.generator, device=self.generator.device)
        return Mix(order, float(self._mixes.beta(0.4, 0.4)))

    def view(self, faces: Tensor, size: int, how: Augmentation) -> Tensor:
        """Return (N, 3, size, size) float RGB in [0, 255] with the recipe's augmentation."""
        return degrade(light(warp(faces, size, how, self.generator), how.light, self.generator), how, self.generator)

    def pair(self, faces: Tensor, size: int, how: Augmentation) -> tuple[Tensor, Tensor]:
        """Return a teacher's and a student's view of the same faces, (N, 3, size, size) float RGB in [0, 255] each.

        The student's is shifted against the teacher's by up to 6 %, and has blur, noise and occlusions: the student
        learns to be robust to them.
        """
        margin = max(1, round(_SHIFT * size))
        wide = size + 2 * margin
        images = light(warp(faces, wide, how, self.generator, extent=wide / size), how.light, self.generator)
        x, y = self._mixes.integers(0, 2 * margin + 1, 2).tolist()
        teachers = images[:, :, margin : margin + size, margin : margin + size].clamp(0, 255)
        return teachers, degrade(images[:, :, y : y + size, x : x + size], how, self.generator)


def inputs(images: Tensor, spec: InputSpec) -> Tensor:
    """Convert float RGB images to the network's input, channels last."""
    return prepare(images, spec).contiguous(memory_format=torch.channels_last)
