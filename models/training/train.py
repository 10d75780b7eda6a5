"""Train a model by its recipe: labelled zips in, a checkpoint and a log out; resumes where it was stopped.

Run from the repository's root, for example:

    python models/training/train.py mien-emotion --data ../shared/data --out runs
"""

import json
import math
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from augment import augment
from dataset import FaceData, concatenate, load
from losses import loss
from mien_models.nets import ServedModel, build
from mien_models.nets.served import prepare
from recipes import RECIPES, Recipe

_WARM_UP_EPOCHS = 1.0
_EMA_DECAY = 0.998


def main(
    model: Annotated[str, typer.Argument(help=f"One of {', '.join(RECIPES)}.")],
    data: Annotated[Path, typer.Option(help="Folder with the zips.")] = Path("../shared/data"),
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and logs.")] = Path("runs"),
    epochs: Annotated[int, typer.Option(help="Length of the run; 0 takes the recipe's.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the initial weights, the order and the augmentation.")] = 0,
) -> None:
    """Train one model and keep `NAME.pt` (resumable) and `NAME.jsonl` (one line an epoch) under --out."""
    if model not in RECIPES:
        raise typer.BadParameter(f"unknown model {model!r}; one of {', '.join(RECIPES)}")
    torch.set_num_threads(threads)
    recipe = RECIPES[model]
    out.mkdir(parents=True, exist_ok=True)
    run = Run(recipe, epochs or recipe.epochs, out / f"{model}.pt", seed)
    size = recipe.source_size
    faces = concatenate([load(data / f"{name}.zip", split="train", size=size, usable=True) for name in recipe.data])
    val = [load(data / f"{name}.zip", split="val", size=recipe.spec.crop.size) for name in recipe.data]
    while run.epoch < run.epochs:
        started = time.monotonic()
        mean_loss = run.train_epoch(faces)
        run.save()
        line = {"epoch": run.epoch, "loss": round(mean_loss, 4), "seconds": round(time.monotonic() - started)}
        for name, part in zip(recipe.data, val, strict=True):
            line |= {f"{name}_{key}": round(value, 4) for key, value in run.validate(part).items()}
        print(json.dumps(line), flush=True)
        with (out / f"{model}.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


class Run:
    """The state of one training run: weights, their moving average, optimiser, epoch."""

    def __init__(self, recipe: Recipe, epochs: int, checkpoint: Path, seed: int) -> None:
        torch.manual_seed(seed)
        self.recipe, self.epochs, self.checkpoint, self.epoch = recipe, epochs, checkpoint, 0
        self.seed = seed
        self.net = build(recipe.spec).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(_EMA_DECAY), use_buffers=True)  # type: ignore[no-untyped-call]
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate)
        if checkpoint.exists():
            self._resume(torch.load(checkpoint, weights_only=True))

    def train_epoch(self, faces: FaceData) -> float:
        """Go once through the faces in random order; return the mean loss."""
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        order = torch.randperm(len(faces), generator=generator)
        batches = order[: len(order) // self.recipe.batch * self.recipe.batch].view(-1, self.recipe.batch)
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
        images = augment(torch.from_numpy(faces.images[rows]), spec.crop.size, self.recipe.augmentation, generator)
        inputs = prepare(images, spec.input).contiguous(memory_format=torch.channels_last)
        labels = {
            name: torch.from_numpy(np.asarray(getattr(faces, name)[rows]))
            for name in ("emotion", "votes", "male", "age")
        }
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.reduced):
            scores = self.net(inputs).float()
        heads = spec.heads.values()
        value = torch.stack(
            [loss(head, scores[:, head.first : head.first + head.count], labels) for head in heads]
        ).sum()
        self.optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        self.average.update_parameters(self.net)
        return value.item()

    def _set_learning_rate(self, epoch: float) -> None:
        """Warm up linearly, then follow half a cosine down to zero."""
        if epoch < _WARM_UP_EPOCHS:
            share = epoch / _WARM_UP_EPOCHS
        else:
            share = (1 + math.cos(math.pi * (epoch - _WARM_UP_EPOCHS) / (self.epochs - _WARM_UP_EPOCHS))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * share

    def validate(self, faces: FaceData) -> dict[str, float]:
        """Measure the averaged weights on a split."""
        served = ServedModel(self.recipe.spec, self.average.module).eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.reduced):
            parts = [served(torch.from_numpy(part)) for part in np.array_split(faces.images, 1 + len(faces) // 256)]
        answers = {key: torch.cat([part[key] for part in parts]).float().numpy() for key in parts[0]}
        figures: dict[str, float] = {}
        if "probabilities" in answers and (faces.emotion >= 0).any():
            best = answers["probabilities"].argmax(1)
            figures["fer"] = float((best == faces.emotion).mean())
            figures["ferplus"] = float((best == faces.majority)[faces.majority >= 0].mean())
        if "p_male" in answers:
            figures["gender"] = float(((answers["p_male"] >= 0.5) == faces.male).mean())
        if "years" in answers:
            low, high = faces.age.T
            distance = np.maximum(low - answers["years"], 0) + np.maximum(answers["years"] - high - (low < high), 0)
            figures["age_mae"] = float(distance.mean())
        return figures

    def save(self) -> None:
        """Write the checkpoint in one step, so that a stop never leaves half a file."""
        state = {
            "epoch": self.epoch,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _resume(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


if __name__ == "__main__":
    typer.run(main)
