"""Write random weights of DeepFace's own architectures, where DeepFace expects its downloads.

python deepface_weights.py HOME SITE_PACKAGES

Run by the environment of the benchmark, which has PyTorch and ONNX; DeepFace's packages are added at the end.
"""

import importlib
import sys
from pathlib import Path

import torch

_FILES = {"Age": "age_model_weights", "Gender": "gender_model_weights", "Emotion": "facial_expression_model_weights"}
_SHAPES = {"Age": (224, 224, 3), "Gender": (224, 224, 3), "Emotion": (48, 48, 1)}


class ChannelsLast(torch.nn.Module):
    """A network for channels first that takes (N, H, W, C), as DeepFace's ONNX files do."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the classes' probabilities."""
        return self.network(images.permute(0, 3, 1, 2))  # type: ignore[no-any-return]


def main(home: Path, site_packages: str) -> None:
    """Export one file for each task that does not exist yet."""
    sys.path.append(site_packages)
    folder = home / ".deepface" / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    for task, name in _FILES.items():
        target = folder / f"{name}.onnx"
        if not target.is_file():
            module = importlib.import_module(f"deepface.models.demography.pytorch.{task}")
            network = ChannelsLast(module.base_model()).eval()
            part = target.with_suffix(".part")
            inputs = torch.zeros(1, *_SHAPES[task])
            torch.onnx.export(
                network, (inputs,), str(part), input_names=["image"], dynamic_axes={"image": {0: "n"}}, dynamo=False
            )
            part.rename(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
