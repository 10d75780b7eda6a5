"""Turn a training checkpoint into what is served: calibrate it on `val`, write the ONNX file and its specification.

Run from the repository's root, for example:

    python models/training/export.py mien-emotion --runs runs --data ../shared/data
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer

from calibrate import calibrate
from dataset import FaceData, load
from mien_models.nets import ServedModel, build
from mien_models.onnx_export import write
from recipes import RECIPES

_WEIGHTS = Path(__file__).parents[1] / "mien_models" / "weights"
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
    written = write(spec.model_copy(update={"heads": heads}), net, out)
    if written.weights:
        typer.echo(f"{written.weights.file}: {written.parameters:,} parameters, {written.weights.bytes:,} bytes")


def raw_scores(served: ServedModel, faces: FaceData) -> torch.Tensor:
    """Return a model's scores for all faces, (N, outputs)."""
    with torch.inference_mode():
        parts = np.array_split(faces.images, 1 + len(faces) // 256)
        return torch.cat([served.scores(torch.from_numpy(part)) for part in parts])


if __name__ == "__main__":
    typer.run(main)
