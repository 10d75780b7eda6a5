"""Run the training of a model, resumable from its checkpoint."""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien_models.networks import ServedModel, build
from mien_models.networks.served import prepare
from mien_models.spec import ModelSpec
from mien_training import checkpoint
from mien_training.faces.augmentation import augment
from mien_training.faces.dataset import FaceData
from mien_training.faces.losses import loss
from mien_training.faces.recipe import Recipe

_WARM_UP_EPOCHS = 1.0
_LABELS = ("emotion", "votes", "male", "age")


class Run:
    """One training run: weights, optimiser, epoch; restored from the checkpoint `path` if it exists."""

    def __init__(self, recipe: Recipe, epochs: int, path: Path, seed: int) -> None:
        torch.manual_seed(seed)
        self.recipe, self.epochs, self.checkpoint, self.seed = recipe, epochs, path, seed
        self.net = build(recipe.spec).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = checkpoint.make_optimizer(
            self.net, learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.epoch = checkpoint.restore(path, net=self.net, optimizer=self.optimizer)

    def train_epoch(self, faces: FaceData) -> float:
        """Train one epoch in random order; return the mean loss."""
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        order = torch.randperm(len(faces), generator=generator)
        batch = min(self.recipe.batch, len(order))
        batches = order[: len(order) // batch * batch].view(-1, batch)
        self.net.train()
        total = 0.0
        for step, index in enumerate(batches):
            self._set_learning_rate(self.epoch + step / len(batches))
            total += self._step(faces, index, generator)
        self.epoch += 1
        return total / len(batches)

    def _step(self, faces: FaceData, index: Tensor, generator: torch.Generator) -> float:
        rows = index.numpy()
        spec = self.recipe.spec
        images = augment(torch.from_numpy(faces.images[rows]), self._size(), self.recipe.augmentation, generator)
        inputs = prepare(images, spec.input).contiguous(memory_format=torch.channels_last)
        labels = {name: torch.from_numpy(np.asarray(getattr(faces, name)[rows])) for name in _LABELS}
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.reduced):
            scores = self.net(inputs).float()
        heads = [head for made in self.recipe.specs for head in made.heads.values()]
        value = torch.stack(
            [loss(head, scores[:, head.first : head.first + head.count], labels) for head in heads]
        ).sum()
        self.optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        return value.item()

    def _size(self) -> int:
        sizes = self.recipe.sizes or (self.recipe.spec.crop.size,)
        return sizes[self.epoch * len(sizes) // self.epochs]

    def _set_learning_rate(self, epoch: float) -> None:
        """Set the learning rate: linear warm-up, then cosine decay to zero."""
        if epoch < _WARM_UP_EPOCHS:
            share = epoch / _WARM_UP_EPOCHS
        else:
            share = (1 + math.cos(math.pi * (epoch - _WARM_UP_EPOCHS) / (self.epochs - _WARM_UP_EPOCHS))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * share

    def validate(self, faces: FaceData) -> dict[str, float]:
        """Evaluate the current weights on a split whose images have the model's crop size.

        The metrics of a run's further models are prefixed with their names.
        """
        own, *others = self.recipe.specs
        metrics = self._metrics(own, faces)
        for spec in others:
            metrics |= {f"{spec.name}_{key}": value for key, value in self._metrics(spec, faces).items()}
        return metrics

    def _metrics(self, spec: ModelSpec, faces: FaceData) -> dict[str, float]:
        served = ServedModel(spec, self.net).eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.reduced):
            parts = [served(torch.from_numpy(part)) for part in np.array_split(faces.images, 1 + len(faces) // 256)]
        answers = {key: torch.cat([part[key] for part in parts]).float().numpy() for key in parts[0]}
        return val_metrics(answers, faces)

    def save(self) -> None:
        """Write the checkpoint; see `mien_training.checkpoint`."""
        checkpoint.save(self.checkpoint, self.epoch, net=self.net, optimizer=self.optimizer)


def val_metrics(answers: dict[str, NDArray[np.float32]], faces: FaceData) -> dict[str, float]:
    """Return accuracies (0 to 1) and the mean age error (years) of a model's answers, each (N, ...), for N faces."""
    metrics: dict[str, float] = {}
    if "probabilities" in answers and (faces.emotion >= 0).any():
        best = answers["probabilities"].argmax(1)
        metrics["fer"] = float((best == faces.emotion).mean())
        metrics["ferplus"] = float((best == faces.majority)[faces.majority >= 0].mean())
    if "p_male" in answers:
        metrics["gender"] = float(((answers["p_male"] >= 0.5) == faces.male).mean())
    if "years" in answers:
        low, high = faces.age.T
        distance = np.maximum(low - answers["years"], 0) + np.maximum(answers["years"] - high - (low < high), 0)
        metrics["age_mae"] = float(distance.mean())
    return metrics
