"""Train a kit's teachers and its student inside a time box, on a GPU or a CPU."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mien_models.networks import ResidualNet, build
from mien_models.networks.served import answers_of
from mien_models.spec import Head
from mien_training import checkpoint
from mien_training.faces.dataset import FaceData
from mien_training.faces.run import val_metrics
from mien_training.kit.clock import Clock
from mien_training.kit.loop import optimise
from mien_training.kit.losses import FOREIGN_OUTPUTS, answer_loss, answers, label_loss
from mien_training.kit.package import KitError, unpack
from mien_training.kit.recipes import KITS, KitRecipe
from mien_training.kit.views import Faces, inputs

PART = 15 * 2**20
"""Maximum size of a teacher's file, in bytes; larger ones are split."""

_MIXED = 0.5  # share of the mixed batches
_LABEL_WEIGHT = 0.3  # of the labels, beside the teachers' answers
_RESERVE = 0.06  # share of the box for validation and saving


class KitRun:
    """One run: teachers one after another, each saved as soon as it is done, then the student.

    `out` gets `teacher-N.pt.K` (half precision, in parts of 15 MiB), `NAME.pt` (the student's checkpoint, which
    `mien models train NAME --runs OUT` exports without further training) and `kit.jsonl` (one line per stage). Teachers
    and a student that are in `out` already are kept: the remaining stages get their time, and the student's training
    continues.
    """

    def __init__(
        self,
        kit: Path,
        out: Path,
        *,
        minutes: float,
        compiled: bool = False,
        seed: int = 0,
        recipes: Mapping[str, KitRecipe] = KITS,
    ) -> None:
        self._clock = Clock(60 * minutes)
        self._box = 60 * minutes
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.out, self.compiled, self.seed = out, compiled, seed
        out.mkdir(parents=True, exist_ok=True)
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
        torch.manual_seed(seed)
        self.kit = unpack(kit, recipes)
        self.recipe = self.kit.recipe
        self.heads: Sequence[Head] = [head for spec in self.recipe.student.specs for head in spec.heads.values()]
        self.faces = Faces(self.kit, self.device, seed)
        self._report = _log(out / "kit.jsonl")
        self._report(stage="read", faces=len(self.kit.train), device=_name(self.device), seconds=self._spent())

    def train(self) -> Path:
        """Run all stages and return the student's checkpoint."""
        missing = [index for index in range(self.recipe.teachers) if not list(self.out.glob(f"teacher-{index}.pt.*"))]
        usable = self._clock.left - _RESERVE * self._box
        for index in missing:
            seconds = usable * self.recipe.teacher_share / self.recipe.teachers
            self._teach(index, min(seconds, self._clock.left - _RESERVE * self._box))
        teachers = [self._load_teacher(index) for index in range(self.recipe.teachers)]
        self._validate("teachers", lambda images: _mean_scores(teachers, images))
        return self._learn(teachers, self._clock.left - _RESERVE * self._box)

    def _spent(self) -> float:
        return round(self._box - self._clock.left, 1)

    def _teacher(self) -> nn.Module:
        recipe = self.recipe
        foreign = FOREIGN_OUTPUTS if any(source.foreign for source in recipe.sources) else 0
        net = ResidualNet(
            outputs=max(head.first + head.count for head in self.heads) + foreign,
            channels=1 if recipe.student.spec.input.colour == "grey" else 3,
            widths=recipe.widths,
            depths=recipe.depths,
            stem_stride=recipe.stem_stride,
            reduction=16,
            dropout=0.3,
        )
        return net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def _sizes(self) -> tuple[int, ...]:
        return self.recipe.student.sizes or (self.recipe.student.spec.crop.size,)

    def _teach(self, index: int, seconds: float) -> None:
        torch.manual_seed(self.seed + index)
        spec, how, batch = self.recipe.student.spec, self.recipe.augmentation, self.recipe.batch
        sizes = self._sizes()

        def step(net: nn.Module, share: float) -> Tensor:
            faces, labels = self.faces.draw(batch)
            size = sizes[min(int(share * len(sizes)), len(sizes) - 1)]
            images = self.faces.view(faces, size, how)
            mix = self.faces.mix(batch, _MIXED)
            images = mix.blend(images) if mix else images
            return label_loss(self.heads, self._scores(net, inputs(images, spec.input)), labels, mix)

        net, steps, loss = optimise(
            self._teacher(), step, seconds=seconds, learning_rate=2e-3, weight_decay=0.05, compiled=self.compiled
        )
        _save_parts(net, self.out, f"teacher-{index}.pt")
        self._report(stage=f"teacher-{index}", steps=steps, loss=loss, seconds=self._spent())
        self._validate(f"teacher-{index}", net)

    def _load_teacher(self, index: int) -> nn.Module:
        net = self._teacher()
        parts = sorted(self.out.glob(f"teacher-{index}.pt.*"))
        content = io.BytesIO(b"".join(part.read_bytes() for part in parts))
        state = torch.load(content, map_location="cpu", weights_only=True)
        try:
            net.load_state_dict(state)
        except RuntimeError as error:
            raise KitError(f"{self.out}/teacher-{index}.pt is of another kit; use an empty folder") from error
        return _fused(net.eval())

    def _learn(self, teachers: Sequence[nn.Module], seconds: float) -> Path:
        student = self.recipe.student
        spec, how, batch, sizes = student.spec, self.recipe.augmentation, self.recipe.batch, self._sizes()
        net = build(spec).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        path = self.out / f"{spec.name}.pt"
        known = checkpoint.restore(path, net=net)

        def step(net: nn.Module, share: float) -> Tensor:
            faces, labels = self.faces.draw(batch)
            size = sizes[min(int(share * len(sizes)), len(sizes) - 1)] if not known else sizes[-1]
            teachers_view, students_view = self.faces.pair(faces, size, how)
            mix = self.faces.mix(batch, _MIXED)
            if mix:
                teachers_view, students_view = mix.blend(teachers_view), mix.blend(students_view)
            with torch.no_grad():
                taught = self._taught(teachers, inputs(teachers_view, spec.input))
            scores = self._scores(net, inputs(students_view, spec.input))
            loss = answer_loss(self.heads, scores, taught)
            return loss if mix else loss + _LABEL_WEIGHT * label_loss(self.heads, scores, labels, None)

        rate = student.learning_rate * (0.5 if known else 1.0)
        net, steps, loss = optimise(
            net, step, seconds=seconds, learning_rate=rate, weight_decay=student.weight_decay, compiled=self.compiled
        )
        optimizer = checkpoint.make_optimizer(net, learning_rate=rate, weight_decay=student.weight_decay)
        checkpoint.save(path, student.epochs, net=net, optimizer=optimizer)
        self._report(stage="student", steps=steps, loss=loss, seconds=self._spent())
        self._validate("student", net)
        return path

    def _taught(self, teachers: Sequence[nn.Module], images: Tensor) -> list[Tensor]:
        each = [answers(self.heads, self._scores(teacher, images)) for teacher in teachers]
        return [torch.stack(columns).mean(0) for columns in zip(*each, strict=True)]

    def _scores(self, net: nn.Module, images: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16):
            scores: Tensor = net(images)
        return scores.float()

    def _validate(self, stage: str, net: Callable[[Tensor], Tensor]) -> None:
        """Report the metrics on the `val` parts."""
        for source, faces in self.kit.val.items():
            scores = self._val_scores(net, faces)
            for spec in self.recipe.student.specs:
                found = {key: value.numpy() for key, value in answers_of(spec, scores).items()}
                metrics = {key: round(value, 4) for key, value in val_metrics(found, faces).items()}
                self._report(stage=stage, val=source, model=spec.name, **metrics)

    @torch.inference_mode()
    def _val_scores(self, net: Callable[[Tensor], Tensor], faces: FaceData) -> Tensor:
        spec = self.recipe.student.spec
        parts = []
        for images in np.array_split(faces.images, 1 + len(faces) // 512):
            batch = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).float()
            with torch.autocast(self.device.type, torch.bfloat16):
                parts.append(net(inputs(batch, spec.input)).float().cpu())
        return torch.cat(parts)


def _mean_scores(nets: Sequence[nn.Module], images: Tensor) -> Tensor:
    return torch.stack([net(images).float() for net in nets]).mean(0)


def _fused(net: nn.Module) -> nn.Module:
    """Fold each batch normalization into the preceding convolution."""
    for module in net.modules():
        if isinstance(module, nn.Sequential):
            for index in range(len(module) - 1):
                conv, norm = module[index], module[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[index], module[index + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return net


def _save_parts(net: nn.Module, folder: Path, name: str) -> None:
    state = {key: value.half() if value.is_floating_point() else value for key, value in net.state_dict().items()}
    content = io.BytesIO()
    torch.save({key: value.cpu() for key, value in state.items()}, content)
    whole = content.getvalue()
    for number, start in enumerate(range(0, len(whole), PART)):
        (folder / f"{name}.{number}").write_bytes(whole[start : start + PART])


def _log(path: Path) -> Callable[..., None]:
    def report(**fields: object) -> None:
        line = json.dumps(fields)
        print(line, flush=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    return report


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
