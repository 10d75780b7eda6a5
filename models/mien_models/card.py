"""Return model cards: the released card, or basic facts for other weights."""

from pathlib import Path

from mien_models.catalog import PUBLISHED
from mien_models.registry import Entry

_INSTALLED = Path(__file__).parent / "cards"
_CHECKOUT = Path(__file__).parents[1] / "cards"
CARDS = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""Folder of the released cards: inside an installed package, or beside it in a checkout."""


def card(entry: Entry) -> str:
    """Return a model's card as Markdown.

    A released card contains the metrics of its own weights, so other weights under the same name get basic facts only.
    """
    path = CARDS / f"{entry.spec.name}.md"
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        if entry.digest in text:
            return text
    return _facts(entry)


def _facts(entry: Entry) -> str:
    spec = entry.spec
    network = f"Network: {spec.architecture or 'ONNX'}, {spec.parameters:,} parameters"
    lines = [
        f"# {spec.name} {spec.version}",
        "",
        spec.summary,
        "",
        f"- Tasks: {', '.join(spec.heads)}. {network}.",
        f"- Input: {spec.crop.size}x{spec.crop.size} {spec.input.colour}, {spec.crop.scale} x the face's height.",
        f"- Weights: `{entry.path.name}`, {spec.weights.bytes if spec.weights else 0:,} bytes, `{entry.digest}`.",
    ]
    if spec.name in PUBLISHED:
        lines.append(f"- Published at {PUBLISHED[spec.name].url}. Terms: {PUBLISHED[spec.name].terms}.")
    return "\n".join([*lines, "", _UNMEASURED])


_UNMEASURED = """These are not weights of a release of Mien. Their accuracy, overall and per group, and the calibration
of their probabilities must be measured where they are used (`models/training/evaluate.py`). As with every model, do not
base a decision about a person on a prediction.
"""
