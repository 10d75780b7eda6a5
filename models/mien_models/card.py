"""A model's card: that of its release, or the plain facts of weights that no release knows."""

from pathlib import Path

from mien_models.catalog import PUBLISHED
from mien_models.registry import Entry

_INSTALLED = Path(__file__).parent / "cards"
_CHECKOUT = Path(__file__).parents[1] / "cards"
CARDS = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""Folder of the releases' cards: inside the package where it was installed, beside it in a checkout."""


def card(entry: Entry) -> str:
    """Return a model's card, in Markdown.

    A release's card tells the figures of its own weights, so a model of the same name with others gets plain facts.
    """
    path = CARDS / f"{entry.spec.name}.md"
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        if entry.digest in text:
            return text
    return _facts(entry)


def _facts(entry: Entry) -> str:
    spec = entry.spec
    lines = [
        f"# {spec.name} {spec.version}",
        "",
        spec.summary,
        "",
        f"- Tasks: {', '.join(spec.heads)}. Network: {spec.architecture}, {spec.parameters:,} parameters.",
        f"- Input: {spec.crop.size}x{spec.crop.size} {spec.input.colour}, {spec.crop.scale} x the face's height.",
        f"- Weights: `{entry.path.name}`, {spec.weights.bytes if spec.weights else 0:,} bytes, `{entry.digest}`.",
    ]
    if spec.name in PUBLISHED:
        lines.append(f"- Published at {PUBLISHED[spec.name].url}. Terms: {PUBLISHED[spec.name].terms}.")
    return "\n".join([*lines, "", _UNMEASURED])


_UNMEASURED = """These are not weights of a release of Mien. How often they are right, for whom, and what their
probabilities are worth has to be measured where they are used (`models/training/evaluate.py`). As with every model, no
answer is ground for a decision about a person.
"""
