"""Write the model cards and the README's tables from the committed result files.

python models/training/cards.py
"""

import json
from pathlib import Path
from typing import Any

from mien_models.registry import DEFAULTS, Entry, Registry

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "models" / "results"
CARDS = ROOT / "models" / "cards"
README = ROOT / "README.md"

_BEGIN, _END = "<!-- results: begin -->", "<!-- results: end -->"

_DATA = {
    "fer2013": "FER2013 (ICML 2013 challenge, research use) with the FER+ votes (MIT)",
    "fairface": "FairFace (Karkkainen & Joo, arXiv 1908.04913, CC BY 4.0)",
    "utkface": "UTKFace (non-commercial research)",
}

_LIMITS = """## Use it for, and not for

It is meant for statistics over many photographs and for programs in which a wrong answer does no harm: sorting one's
own pictures, gallery and audience figures, teaching, research.

It is not for decisions about a person: hiring, admission, policing, credit, insurance, proof of age. Inferring emotions
at work and in education is forbidden in the European Union (AI Act, Art. 5(1)(f)), and people must be told where
emotion is inferred elsewhere (Art. 50(3)). The settings switch a task off.

What it says describes how a face looks in one picture. Gender is an appearance, not an identity; an emotion label is
not a person's inner state; an age is a guess with a range.

## Limits

Trained on the faces of a few data sets, with their biases; the tables above show where it is worse. Not measured, and
likely worse: faces under about 30 pixels, faces seen from the side, sunglasses, masks, heavy make-up, extreme light,
drawings. The terms of the data sets above bind whoever trains on them again.
"""


def results(name: str) -> list[dict[str, Any]]:
    """Return a model's result files, by data set."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{name}.*.json"))]


def card(entry: Entry) -> str:
    """Return a model's card."""
    spec, found = entry.spec, results(entry.spec.name)
    default = [task for task, name in DEFAULTS.items() if name == spec.name]
    served = f"The default for {' and '.join(default)}." if default else "Not a default: named in the settings."
    lines = [
        f"# {spec.name} {spec.version}",
        "",
        f"{spec.summary} {served}",
        "",
        f"- Tasks: {', '.join(spec.heads)}. Network: {spec.architecture}, {spec.parameters:,} parameters.",
        f"- Input: {spec.crop.size}x{spec.crop.size} {spec.input.colour}, {spec.crop.scale} x the face's height.",
        f"- Weights: `{entry.path.name}`, {spec.weights.bytes if spec.weights else 0:,} bytes, `{entry.digest}`.",
        f"- Trained on the `train` part, chosen and calibrated on the `val` part of: {_data_sets(found)}.",
        f"- Calibration: {', '.join(f'{task}: {_calibration(head)}' for task, head in spec.heads.items())}.",
        "",
        "Figures are of the `val` parts, through the shipped ONNX file. They were seen when the model was chosen and",
        "calibrated, so expect slightly worse on faces from elsewhere.",
    ]
    for result in found:
        lines += ["", f"## On {result['data']['file'].removesuffix('.zip')} ({result['n']:,} faces)", ""]
        for task, figures in result["metrics"].items():
            if task != "cost" and figures:
                lines += [*_SECTIONS[task](figures), ""]
        lines += [f"Command: `{result['command']}`"]
    costs = [result["metrics"]["cost"] for result in found if "cost" in result["metrics"]]
    if costs:
        lines += ["", "## Cost", "", "Milliseconds of one call through ONNX Runtime on one thread:", ""]
        lines += ["| task | 1 face | 8 faces | 32 faces |", "| --- | --- | --- | --- |"]
        for task, times in costs[0]["milliseconds"].items():
            lines.append(f"| {task} | {times['1']:.2f} | {times['8']:.2f} | {times['32']:.2f} |")
    return "\n".join([*lines, "", _LIMITS])


def _data_sets(found: list[dict[str, Any]]) -> str:
    return "; ".join(_DATA[result["data"]["file"].removesuffix(".zip")] for result in found)


def _calibration(head: Any) -> str:
    names = ("temperature", "mix", "lower", "upper", "margin", "slope")
    return " ".join(f"{name} {getattr(head, name)}" for name in names if hasattr(head, name))


def _emotion(figures: dict[str, Any]) -> list[str]:
    fer, plus = figures["fer"], figures.get("ferplus")
    lines = [f"Emotion: {fer['accuracy']:.1%} of FER2013's labels, calibration error {fer['ece']:.3f}."]
    if plus:
        lines.append(f"{plus['accuracy']:.1%} of the FER+ majority labels ({plus['n']:,} faces).")
    lines += ["", "| emotion | recall, FER2013 | recall, FER+ |", "| --- | --- | --- |"]
    for name in fer["recall"]:
        other = plus["recall"][name] if plus else None
        lines.append(f"| {name} | {_percent(fer['recall'][name])} | {_percent(other)} |")
    return lines


def _gender(figures: dict[str, Any]) -> list[str]:
    lines = [f"Gender: {figures['accuracy']:.1%} right, calibration error {figures['ece']:.3f}."]
    if "age_13_up" in figures:
        lines.append(f"From 13 years on: {figures['age_13_up']['accuracy']:.1%}.")
    lines += ["", "| group | faces | right |", "| --- | --- | --- |"]
    groups = sorted(figures.get("by_race", {}).items(), key=lambda item: item[1]["accuracy"])
    for name, group in [*groups, *figures["by_gender"].items()]:
        lines.append(f"| {name} | {group['n']:,} | {group['accuracy']:.1%} |")
    return lines


def _age(figures: dict[str, Any]) -> list[str]:
    lines = []
    if "exact" in figures:
        exact = figures["exact"]
        lines.append(
            f"Age: {exact['mae']:.2f} years mean error; the range holds the truth for {exact['coverage']:.1%} "
            f"of the faces and is {exact['mean_width']:.1f} years wide on average."
        )
        lines += ["", "| age | faces | mean error, years |", "| --- | --- | --- |"]
        lines += [f"| {name} | {group['n']:,} | {group['mae']:.2f} |" for name, group in exact["by_decade"].items()]
    if "bins" in figures:
        bins = figures["bins"]
        lines.append(f"Age bins: {bins['hit']:.1%} hit, {bins['hit_within_one']:.1%} hit within one bin.")
    return lines


_SECTIONS = {"age": _age, "gender": _gender, "emotion": _emotion}


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def overview() -> str:
    """Return the README's table of all models."""
    rows = ["| model | for | figure on `val` | parameters |", "| --- | --- | --- | --- |"]
    for entry in Registry().entries():
        name = entry.spec.name
        said = [text for result in results(name) for text in _headline(result)]
        default = ", default" if name in DEFAULTS.values() else ""
        link = f"[{name}](models/cards/{name}.md)"
        rows.append(
            f"| {link} | {', '.join(entry.spec.heads)}{default} | {'; '.join(said)} | {entry.spec.parameters:,} |"
        )
    return "\n".join(rows)


def _headline(result: dict[str, Any]) -> list[str]:
    said, name = [], {"fer2013": "FER2013", "fairface": "FairFace", "utkface": "UTKFace"}
    where = name[result["data"]["file"].removesuffix(".zip")]
    measured = result["metrics"]
    if measured.get("emotion"):
        said.append(f"emotion {measured['emotion']['fer']['accuracy']:.1%} {where}")
        said.append(f"{measured['emotion']['ferplus']['accuracy']:.1%} FER+")
    if measured.get("gender"):
        said.append(f"gender {measured['gender']['accuracy']:.1%} {where}")
    if measured.get("age", {}).get("exact"):
        said.append(f"age {measured['age']['exact']['mae']:.2f} years {where}")
    return said


def filled(document: str) -> str:
    """Return a document with the overview between its marks."""
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{overview()}\n{_END}{after}"


def main() -> None:
    """Write every card and the README's table."""
    for entry in Registry().entries():
        (CARDS / f"{entry.spec.name}.md").write_text(card(entry), encoding="utf-8")
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
