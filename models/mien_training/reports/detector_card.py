"""Generate the detector's card and the tables of docs/detectors.md from the committed result files.

python -m mien_training.reports.detector_card
"""

from collections.abc import Mapping
from pathlib import Path

from mien_models.detectors import DETECTORS
from mien_training.reports.cards import CARDS
from mien_training.results import collection, provenance

CARD = CARDS / "mien-detector.md"
DOCUMENT = provenance.ROOT / "docs" / "detectors.md"

_LIMITS = """## Limitations

The detector locates faces; it does not identify people. It was trained on a few thousand photographs and on pasted
faces, some labelled by YuNet, so it shares YuNet's blind spots; the people in the photographs are mostly frontal. Less
accurate, by the tables above: faces under 24 pixels and profiles; not measured: upside-down faces, drawings, animals.
In an image too blurred to recognise anyone, it may return head and shoulders as one face.

`val` was used to choose the threshold, so its false positives are slightly optimistic. Most photographs are not cleared
for redistribution and are not part of the project; their collections are listed in `models/training/README.md`.
"""


def card(result: collection.Result) -> str:
    """Return the detector's card as Markdown."""
    crops = result["crops"]
    lines = [
        f"# Detector `mien` {result['version']}",
        "",
        "Mien's own face detector: boxes, scores and five landmarks from one small network (FaceDetectorNet).",
        "",
        f"- Network: {result['parameters']:,} parameters, {result['bytes']:,} bytes, `{result['digest']}`.",
        "- Trained on the `train` part of detect.zip, with pasted faces of FairFace and UTKFace;",
        f"  threshold {result['min_score']}, chosen on `val`.",
        f"- Command: `{result['command']}`.",
        "",
        "## Comparison with other detectors",
        "",
        *overview(result),
        "",
        f"On the {result['val']['mien']['photographs']} photographs of `val`, at each detector's threshold. A",
        "face counts as detected if the intersection over union is 0.5 or more; the cascade's boxes are framed",
        "differently, which lowers its recall.",
        "",
        "## By face size",
        "",
        *_sizes(result),
        "",
        "## By pose",
        "",
        *_poses(result),
        "",
        "Recall of faces from 24 pixels on with known landmarks; the pose is the nose's distance from the midpoint of",
        "the eyes. Faces of any size whose boxes were drawn by people: " + _drawn(result) + ".",
        "",
        "## Landmarks and crops",
        "",
        *_points(result),
        "",
        *_tilts(result),
        "",
        f"With these boxes instead of YuNet's, the default models' gender changes for {crops['gender']:.1%} of",
        f"{crops['faces']} faces and their emotion for {crops['emotion']:.1%}; ages change by",
        f"{crops['age_years']:.2f} years on average.",
        "",
        "## Hand-counted photographs",
        "",
        *_counted(result),
        "",
    ]
    return "\n".join([*lines, _LIMITS])


def overview(result: collection.Result) -> list[str]:
    """Return the table for choosing a detector."""
    rows = [
        "| detector | recall, faces > 24 px | false positives | average precision | ms at 640x480 | ms at 320x320 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in DETECTORS:
        metrics = result["val"][name]["by_size"]
        spent = [result["time"][size][name]["median_ms"] for size in ("640x480", "320x320")]
        rows.append(
            f"| `{name}` | {metrics['>24']['recall']:.1%} | {metrics['all']['false_boxes']} | "
            f"{_percent(metrics['>24']['average_precision'])} | {spent[0]:.1f} | {spent[1]:.1f} |"
        )
    return rows


def _sizes(result: collection.Result) -> list[str]:
    rows = ["| longer side | faces | " + " | ".join(f"{name}: recall, AP" for name in DETECTORS) + " |"]
    rows.append("| --- " * (2 + len(DETECTORS)) + "|")
    for size, first in result["val"][DETECTORS[0]]["by_size"].items():
        own = [result["val"][name]["by_size"][size] for name in DETECTORS]
        cells = [f"{item['recall']:.1%}, {_percent(item['average_precision'])}" for item in own]
        rows.append(f"| {size} px | {first['faces']} | {' | '.join(cells)} |".replace("| all px", "| all"))
    return rows


def _poses(result: collection.Result) -> list[str]:
    rows = ["| pose | faces | " + " | ".join(DETECTORS) + " |", "| --- " * (2 + len(DETECTORS)) + "|"]
    for pose, first in result["val"][DETECTORS[0]]["by_pose"].items():
        cells = [_percent(result["val"][name]["by_pose"][pose]["recall"]) for name in DETECTORS]
        rows.append(f"| {pose} | {first['faces']} | {' | '.join(cells)} |")
    return rows


def _drawn(result: collection.Result) -> str:
    drawn = {name: result["val"][name]["drawn_by_people"] for name in DETECTORS}
    count = drawn[DETECTORS[0]]["faces"]
    return ", ".join(f"{name} {metrics['recall']:.1%}" for name, metrics in drawn.items()) + f" of {count}"


def _points(result: collection.Result) -> list[str]:
    rows = ["| detector | faces | mean error | median error |", "| --- | --- | --- | --- |"]
    for name, metrics in result["points"].items():
        rows.append(f"| {name} | {metrics['faces']} | {_percent(metrics['mean'])} | {_percent(metrics['median'])} |")
    return [*rows, "", "Mean distance of the five landmarks from the labels, as a fraction of the box's size."]


def _tilts(result: collection.Result) -> list[str]:
    names = list(result["tilt"])
    rows = [
        "| turned by | faces | " + " | ".join(f"{name}: detected, error" for name in names) + " |",
        "| --- " * (2 + len(names)) + "|",
    ]
    for angle, first in result["tilt"][names[0]].items():
        own = [result["tilt"][name][angle] for name in names]
        cells = [f"{item['detected'] / item['faces']:.1%}, {item['median_error']:.1f} degrees" for item in own]
        rows.append(f"| {angle} degrees | {first['faces']} | {' | '.join(cells)} |")
    return [
        *rows,
        "",
        "Median error of the angle of the eyes on `val` photographs of one frontal face, turned both ways.",
    ]


def _counted(result: collection.Result) -> list[str]:
    rows = [
        "| detector | faces detected | surplus boxes | boxes in photographs without faces |",
        "| --- | --- | --- | --- |",
    ]
    for name, metrics in result["counted"].items():
        rows.append(
            f"| {name} | {metrics['found']} of {metrics['faces']} | {metrics['surplus']} | "
            f"{metrics['no_face_boxes']} in {metrics['no_face_photographs']} photographs |"
        )
    return rows


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def long_sides(result: collection.Result) -> list[str]:
    """Return the table of detection and time by image size."""
    return [
        "| long side | tiles | faces detected | surplus boxes | boxes without faces | median ms | p95 ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {row['long_side']} | {'yes' if row['tiles'] else 'no'} | {row['found']} of {row['faces']} | "
            f"{row['surplus']} | {row['no_face_boxes']} in {row['no_face_photographs']} photographs | "
            f"{row['median_ms']:.1f} | {row['p95_ms']:.1f} |"
            for row in result["rows"]
        ),
    ]


def filled(document: str, tables: Mapping[str, list[str]]) -> str:
    """Return a document with each table between its marks."""
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = document.partition(begin)
        _, _, after = rest.partition(end)
        document = "\n".join([f"{before}{begin}", *table, f"{end}{after}"])
    return document


def documents() -> dict[Path, str]:
    """Return the card and the document with its tables; empty if the detectors were not measured."""
    result, sides = collection.detector(), collection.long_sides()
    if not result or not sides:
        return {}
    tables = {"results": overview(result), "long side": long_sides(sides)}
    return {CARD: card(result), DOCUMENT: filled(DOCUMENT.read_text(encoding="utf-8"), tables)}


if __name__ == "__main__":
    provenance.write(documents())
