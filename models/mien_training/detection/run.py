"""Run the training of a detector, resumable from its checkpoint."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mien_models.detectors import dense
from mien_models.detectors.dense import DenseDetector
from mien_models.faces import Faces
from mien_models.networks.face_detector import SCALE, FaceDetectorNet
from mien_training import checkpoint
from mien_training.detection.degradations import degrade
from mien_training.detection.losses import detection_loss
from mien_training.detection.metrics import ALL, COMMON, average_precision, matches, threshold
from mien_training.detection.photographs import Photograph
from mien_training.detection.recipes import DetectionRecipe
from mien_training.detection.scenes import Composer, Scene

_LEAST_SCORE = 0.02  # lowest score that enters the average precision
_DECAY = 0.998  # decay per step of the weights' moving average


class DetectionRun:
    """One training run: weights, optimiser, epoch; restored from the checkpoint `path` if it exists."""

    def __init__(self, recipe: DetectionRecipe, epochs: int, path: Path, seed: int) -> None:
        torch.manual_seed(seed)
        self.recipe, self.epochs, self.checkpoint, self.seed = recipe, epochs, path, seed
        net = FaceDetectorNet(**recipe.spec.options)
        self.net: FaceDetectorNet = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = checkpoint.make_optimizer(
            self.net, learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self._average = AveragedModel(self.net, avg_fn=_averaged, use_buffers=True)
        self.epoch = checkpoint.restore(path, net=self.net, average=self._average, optimizer=self.optimizer)

    @property
    def averaged(self) -> FaceDetectorNet:
        """The network with the moving average of its weights, which is evaluated and exported."""
        net = self._average.module
        assert isinstance(net, FaceDetectorNet)
        return net

    def train_epoch(self, composer: Composer, teacher: DenseDetector | None = None) -> dict[str, float]:
        """Train on generated scenes, with a teacher's targets if given; return the mean components of the loss."""
        random = np.random.default_rng((self.seed, self.epoch))
        plain = self.epoch >= (1 - self.recipe.plain_share) * self.epochs
        self.net.train()
        parts: dict[str, float] = {}
        for step in range(self.recipe.steps):
            self._set_learning_rate(self.epoch * self.recipe.steps + step)
            size = int(random.choice(self.recipe.sizes))
            count = max(1, self.recipe.pixels // size**2)
            scenes = [composer.compose(size, random, plain=plain) for _ in range(count)]
            for name, value in self._step(scenes, random, teacher).items():
                parts[name] = parts.get(name, 0.0) + value / self.recipe.steps
        self.epoch += 1
        return parts

    def _step(
        self, scenes: Sequence[Scene], random: np.random.Generator, teacher: DenseDetector | None
    ) -> dict[str, float]:
        images = np.stack([degrade(scene.image, random) for scene in scenes])
        # The network uses channels-last memory.
        inputs = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(SCALE)
        with torch.autocast("cpu", torch.bfloat16):
            predictions: Tensor = self.net(inputs)
        seen = _predictions(teacher, images) if teacher else None
        loss, parts = detection_loss(predictions.float(), scenes, seen)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), 10.0)
        self.optimizer.step()
        self._average.update_parameters(self.net)
        return parts

    def _set_learning_rate(self, step: int) -> None:
        """Set the learning rate: linear warm-up, then cosine decay to zero."""
        last = self.epochs * self.recipe.steps
        warm_up = min(self.recipe.warm_up, last // 10 + 1)
        if step < warm_up:
            share = (step + 1) / warm_up
        else:
            share = (1 + math.cos(math.pi * (step - warm_up) / (last - warm_up))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * share

    def validate(self, photographs: Sequence[Photograph]) -> dict[str, float]:
        """Evaluate the averaged weights: average precision of all faces, and of faces from 24 pixels on."""
        found = [self.detect(item.image) for item in photographs]
        sizes = {"ap": ALL, "ap_24": COMMON}
        return {name: average_precision(matches(found, photographs, which)) for name, which in sizes.items()}

    def min_score(self, photographs: Sequence[Photograph]) -> float:
        """Return the score threshold that allows the recipe's rate of false positives."""
        found = [self.detect(item.image) for item in photographs]
        return threshold(matches(found, photographs, ALL), int(self.recipe.false_share * len(photographs)))

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> Faces:
        """Detect the faces of an image (H, W, 3) uint8 RGB at its own size, with a very low threshold."""
        padded = dense.pad(image)
        inputs = torch.from_numpy(padded.copy()).permute(2, 0, 1)[None].float().div_(SCALE)
        predictions: Tensor = self.averaged.eval()(inputs)[0]
        return dense.decode(
            predictions[:, 0].sigmoid().numpy(),
            predictions[:, 1:].numpy(),
            (padded.shape[0], padded.shape[1]),
            min_score=_LEAST_SCORE,
            max_overlap=self.recipe.spec.max_overlap,
        )

    def save(self) -> None:
        """Write the checkpoint; see `mien_training.checkpoint`."""
        checkpoint.save(self.checkpoint, self.epoch, net=self.net, average=self._average, optimizer=self.optimizer)


def _averaged(average: Tensor, now: Tensor, updates: Tensor | int) -> Tensor:
    """Update the moving average; its decay rises with the updates, so that short runs drop initial weights."""
    decay = min(_DECAY, (1 + int(updates)) / (10 + int(updates)))
    return average + (1 - decay) * (now - average)


def _predictions(teacher: DenseDetector, images: NDArray[np.uint8]) -> Tensor:
    """Return a teacher's predictions for (B, S, S, 3) images: (B, P, 15), the score first."""
    predicted = [teacher.predict(image) for image in images]
    return torch.from_numpy(np.stack([np.column_stack([scores, shapes]) for scores, shapes in predicted]))
