"""Turn a training checkpoint into what is served: calibrate it on `val`, write the ONNX file and its specification.

Run from the repository's root, for example:

    python models/training/export.py mien-emotion --runs runs --data ../shared/data
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer

from calibrate import calibrate
from dataset import FaceData, load
from mien_models.nets import ServedModel, build
from mien_models.registry import ANSWERS
from mien_models.spec import ModelSpec, Weights
from recipes import RECIPES

_WEIGHTS = Path(__file__).parents[1] / "mien_models" / "weights"
_OPSET = 17
_CALIBRATED_ON = {"age": "utkface", "gender": "fairface", "emotion": "fer2013"}


def main(
    model: Annotated[str, typer.Argument(help=f"One of {', '.join(RECIPES)}.")],
    data: Annotated[Path, typer.Option(help="Folder with the zips.")] = Path("../shared/data"),
    runs: Annotated[Path, typer.Option(help="Folder with the checkpoint.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="Folder for the ONNX file and its specification.")] = _WEIGHTS,
    weights: Annotated[
        Literal["average", "last"], typer.Option(help="Moving average, or the last step's.")
    ] = "average",
) -> None:
    """Export one trained model."""
    if model not in RECIPES:
        raise typer.BadParameter(f"unknown model {model!r}; one of {', '.join(RECIPES)}")
    checkpoint = runs / f"{model}.pt"
    if not checkpoint.is_file():
        raise typer.BadParameter(
            f"{checkpoint} does not exist; train the model first: models/training/train.py {model}"
        )
    spec = RECIPES[model].spec
    state = torch.load(checkpoint, weights_only=True)
    net = build(spec)
    prefix = "module." if weights == "average" else ""
    source = state["average" if weights == "average" else "net"]
    net.load_state_dict({name: source[prefix + name] for name in net.state_dict()})
    served = ServedModel(spec, net).eval()
    heads = {}
    for task, head in spec.heads.items():
        faces = load(data / f"{_CALIBRATED_ON[task]}.zip", split="val", size=spec.crop.size)
        scores = raw_scores(served, faces)[:, head.first : head.first + head.count]
        heads[task] = calibrate(head, scores, faces)
        typer.echo(f"{task}: {heads[task]!r}")
    parameters = sum(parameter.numel() for parameter in net.parameters())
    write(spec.model_copy(update={"heads": heads, "parameters": parameters}), net, out)


def raw_scores(served: ServedModel, faces: FaceData) -> torch.Tensor:
    """Return a model's scores for all faces, (N, outputs)."""
    with torch.inference_mode():
        parts = np.array_split(faces.images, 1 + len(faces) // 256)
        return torch.cat([served.scores(torch.from_numpy(part)) for part in parts])


def write(spec: ModelSpec, net: torch.nn.Module, folder: Path) -> None:
    """Write `NAME.onnx`, whose weights keep PyTorch's names, and `NAME.json`."""
    path = folder / f"{spec.name}.onnx"
    names = [name for task in spec.heads for name in ANSWERS[task]]
    size = spec.crop.size
    torch.onnx.export(
        _Ordered(ServedModel(spec, net).eval(), names),
        (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
        path,
        input_names=["crops"],
        output_names=names,
        dynamic_axes={name: {0: "faces"} for name in ("crops", *names)},
        opset_version=_OPSET,
        dynamo=False,
        # else batch normalisation is folded and the weights lose their names
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
    )
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    spec = spec.model_copy(update={"weights": Weights(file=path.name, sha256=digest, bytes=len(content))})
    spec.write(path.with_suffix(".json"))
    typer.echo(f"{path.name}: {spec.parameters:,} parameters, {len(content):,} bytes")


class _Ordered(torch.nn.Module):
    """Return the answers as a tuple, since an ONNX graph's outputs have an order."""

    def __init__(self, served: ServedModel, names: list[str]) -> None:
        super().__init__()
        self.served = served
        self._names = names

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answers = self.served(crops)
        return tuple(answers[name] for name in self._names)


if __name__ == "__main__":
    typer.run(main)
