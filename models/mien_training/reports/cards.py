"""Generate the model cards and the README's table from the committed result files.

python -m mien_training.reports.cards
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mien_models.registry import DEFAULTS, Entry
from mien_models.spec import ModelSpec, Weights
from mien_training.faces.metrics import labels_of
from mien_training.faces.recipes import RECIPES
from mien_training.reports.metric_sections import SECTIONS, table
from mien_training.results import collection, provenance

CARDS = provenance.ROOT / "models" / "cards"
README = provenance.ROOT / "README.md"

_BEGIN, _END = "<!-- results: begin -->", "<!-- results: end -->"

_LIMITS = """## Intended use

For statistics over many photographs and programs in which a wrong prediction does no harm: sorting one's own photos,
gallery and audience statistics, teaching, research.

Not for decisions about a person: hiring, admission, policing, credit, insurance, proof of age. Inferring emotions at
work and in education is forbidden in the European Union (AI Act, Art. 5(1)(f)); elsewhere people must be informed that
emotion is inferred (Art. 50(3)). Tasks can be switched off in the settings.

Predictions describe how a face appears in one image. Gender is an appearance, not an identity; an emotion label is not
a person's inner state; an age is an estimate with a range.

## Limitations

Trained on faces of a few data sets, with their biases; the tables above show groups with lower accuracy. Not measured,
and probably less accurate: faces under about 30 pixels, side views, sunglasses, masks, heavy make-up, extreme light,
drawings. The terms of the data sets above apply to anyone who trains on them again."""

_TOO_LARGE = "- Too large for the package: train it with `mien models train {name} --data DATA` on the same data."

_INT8 = (
    "- ONNX Runtime uses the INT8 file on processors that multiply 8-bit integers quickly (AVX-VNNI, AVX-512 VNNI,\n"
    "  AMX, Arm dot product), the float32 file on others; PyTorch always uses float32. Responses have the digest of\n"
    "  the file in use."
)


def card(entry: Entry) -> str:
    """Return a model's card as Markdown."""
    spec, found = entry.spec, collection.results(entry.spec.name)
    default = [task for task, name in DEFAULTS.items() if name == spec.name]
    served = f"Default for {' and '.join(default)}." if default else "Not a default; select it in the settings."
    parts = [
        [f"# {spec.name} {spec.version}"],
        [f"{spec.summary} {served}"],
        [
            f"- Tasks: {', '.join(spec.heads)}. Network: {spec.architecture}, {spec.parameters:,} parameters.",
            f"- Input: {spec.crop.size}x{spec.crop.size} {spec.input.colour}, {spec.crop.scale} x the face's height.",
            *(f"- Weights: `{file.file}`, {file.bytes:,} bytes, `sha256:{file.sha256}`." for file in _files(spec)),
            *([_INT8] if spec.int8 else []),
            *([] if collection.ships(entry) else [_TOO_LARGE.format(name=spec.name)]),
        ],
        [
            "Metrics are measured on the `val` parts with the ONNX file of these weights. `val` was also used to",
            "choose and calibrate the model, so expect slightly lower accuracy on other faces.",
        ],
    ]
    for data, result in found.items():
        parts.append([f"## On {data} ({result['n']:,} faces)"])
        for task, metrics in result["metrics"].items():
            parts += SECTIONS[task](metrics) if task in SECTIONS and metrics else []
    parts += [*_calibration(entry, found), *_robustness(spec.name), *_cost(spec.name), *_data(spec.name, found)]
    return "\n\n".join([*("\n".join(lines) for lines in parts), _LIMITS, *_commands(spec.name, found)]) + "\n"


def _files(spec: ModelSpec) -> list[Weights]:
    return [file for file in (spec.weights, spec.int8) if file]


def _calibration(entry: Entry, found: dict[str, collection.Result]) -> Iterator[list[str]]:
    rows = []
    for data, result in found.items():
        for task, metrics in result["metrics"].items():
            part = metrics.get(labels_of(entry.spec) if task == "emotion" else "exact", metrics)
            before = part.get("uncalibrated", {})
            rows += [
                (f"{task}, {data}", title, f"{before[key]:.3f}" if key in before else "-", f"{part[key]:.3f}")
                for key, title in _CALIBRATED.items()
                if key in part
            ]
    yield ["## Calibration"]
    fitted = ", ".join(f"{task}: {_fitted(head)}" for task, head in entry.spec.heads.items())
    yield [
        f"Fitted on `val`: {fitted}. *Before* is at temperature 1; ranges without a temperature have no such value.",
        *(["Ranges are calibrated to contain the age of 80 % of the faces."] if "age" in entry.spec.heads else []),
    ]
    yield table(("task, data", "metric", "before", "after"), *rows)


_CALIBRATED = {
    "ece": "expected calibration error",
    "nll": "negative log-likelihood",
    "coverage": "coverage of the age range",
    "mean_width": "width of the range, years",
}


def _fitted(head: Any) -> str:
    names = ("temperature", "uncertain_below", "style", "lower", "upper", "margin", "slope")
    return " ".join(
        f"{name} {getattr(head, name)}" for name in names if hasattr(head, name) and getattr(head, name) is not None
    )


def _robustness(name: str) -> Iterator[list[str]]:
    result = collection.robustness(name)
    if not result:
        return
    yield ["## Robustness"]
    yield [f"{result['n']:,} faces of {result['data']['file'].removesuffix('.zip')}, cropped again with one change:"]
    titles = {
        ("age", "mean_absolute_years"): "mean change of age, years",
        ("age", "mean_years"): "signed, years",
        ("gender", "changed"): "gender changed",
        ("emotion", "changed"): "emotion changed",
    }
    columns = [key for key in titles if key[0] in result["tasks"]]
    rows = [
        (change, *(_change(key, by[task][key]) for task, key in columns)) for change, by in result["changes"].items()
    ]
    yield table(("change", *(titles[key] for key in columns)), *rows)


def _change(key: str, value: float) -> str:
    return {"changed": f"{value:.1%}", "mean_years": f"{value:+.2f}"}.get(key, f"{value:.2f}")


def _cost(name: str) -> Iterator[list[str]]:
    result = collection.cost(name)
    if result:
        machine = result["machine"]
        yield ["## Cost"]
        yield [
            f"{result['parameters']:,} parameters, {result['bytes']:,} bytes. Milliseconds of processor time per call,",
            "on one thread, interleaved with all models",
            f"({machine['processor']}, ONNX Runtime {machine['onnxruntime']}):",
        ]
        rows = [(task, *(f"{time:.2f}" for time in times.values())) for task, times in result["milliseconds"].items()]
        yield table(("task", "1 face", "8 faces", "32 faces"), *rows)
    variants = collection.precision(name)
    if variants:
        yield ["Other precisions, one face, interleaved with the shipped file (float32):"]
        rows = [
            (kind, task, f"{variant['milliseconds'][task]:.2f}", _of_val(figure))
            for kind, variant in variants["variants"].items()
            for task, figure in variant["val"].items()
        ]
        yield table(("precision", "task", "milliseconds", "on `val`"), *rows)


def _of_val(figure: dict[str, float]) -> str:
    ((key, value),) = figure.items()
    return f"{value:.2f} years mean absolute error" if key == "mae" else f"{value:.1%} correct"


def _data(name: str, found: dict[str, collection.Result]) -> Iterator[list[str]]:
    trained = RECIPES[name].data if name in RECIPES else tuple(found)
    yield ["## Data and terms"]
    yield ["Trained on the `train` parts, selected and calibrated on the `val` parts of:"]
    yield table(("data", "terms"), *(collection.DATA_SETS[data] for data in trained))


def _commands(name: str, found: dict[str, collection.Result]) -> Iterator[str]:
    result = collection.robustness(name)
    commands = [result["command"] for result in (*found.values(), *([result] if result else []))]
    yield "## Commands\n\n```\n" + "\n".join(commands) + "\n```"


def overview() -> str:
    """Return the README's table of all models."""
    rows = []
    for entry in collection.entries():
        name = entry.spec.name
        headlines = [
            text for data, result in collection.results(name).items() for text in _headline(data, result["metrics"])
        ]
        note = ", default" if name in DEFAULTS.values() else "" if collection.ships(entry) else "; not in the package"
        link = f"[{name}](models/cards/{name}.md)"
        rows.append((link, f"{', '.join(entry.spec.heads)}{note}", "; ".join(headlines), f"{entry.spec.parameters:,}"))
    return "\n".join(table(("model", "tasks", "metrics on `val`", "parameters"), *rows))


def _headline(data: str, measured: dict[str, Any]) -> Iterator[str]:
    where = {"fer2013": "FER2013", "fairface": "FairFace", "utkface": "UTKFace"}[data]
    if measured.get("emotion"):
        yield f"emotion {measured['emotion']['fer']['accuracy']:.1%} {where}"
        yield f"{measured['emotion']['ferplus']['accuracy']:.1%} FER+"
    if measured.get("gender"):
        yield f"gender {measured['gender']['accuracy']:.1%} {where}"
    if measured.get("age", {}).get("exact"):
        yield f"age {measured['age']['exact']['mae']:.2f} years {where}"


def filled(document: str) -> str:
    """Return a document with the overview table between its marks."""
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{overview()}\n{_END}{after}"


def documents() -> dict[Path, str]:
    """Return every document generated from result files: the cards, and the README with its table."""
    cards = {CARDS / f"{entry.spec.name}.md": card(entry) for entry in collection.entries()}
    return cards | {README: filled(README.read_text(encoding="utf-8"))}


def main() -> None:
    """Write every card and the README's table."""
    provenance.write(documents())


if __name__ == "__main__":
    main()
