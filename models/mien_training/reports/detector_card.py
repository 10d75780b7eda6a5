"""Write the detector's card, and the tables of docs/detectors.md, from the committed result files.

python -m mien_training.reports.detector_card
"""

from collections.abc import Mapping
from pathlib import Path

from mien_models.detectors import DETECTORS
from mien_training.reports.cards import CARDS
from mien_training.results import collection, provenance

CARD = CARDS / "mien-detector.md"
DOCUMENT = provenance.ROOT / "docs" / "detectors.md"

_LIMITS = """## Use it for, and not for

It says where faces are, not whose. It was trained on a few thousand photographs and on pasted faces, some of them
labelled by YuNet: it repeats YuNet's blind spots, and people in the photographs are mostly frontal. Worse, by the
tables above: faces under 24 pixels and profiles; not measured: faces upside down, drawings, animals. In a picture too
blurred to know anybody in it, it may box head and shoulders as one face.

`val` chose the threshold, so its false boxes flatter it a little. The photographs' rights are mostly not cleared, so
they are not part of the project; their collections are named in `models/training/README.md`.
"""


def card(result: collection.Result) -> str:
    """Return the detector's card."""
    crops = result["crops"]
    lines = [
        f"# mien, the detector, {result['version']}",
        "",
        "Mien's own face detector: boxes, scores and five points from one small network (FaceDetectorNet).",
        "",
        f"- Network: {result['parameters']:,} parameters, {result['bytes']:,} bytes, `{result['digest']}`.",
        "- Trained on the `train` part of detect.zip, with faces of FairFace and UTKFace pasted in;",
        f"  threshold {result['min_score']}, chosen on `val`.",
        f"- Command of all figures: `{result['command']}`.",
        "",
        "## Beside the other detectors",
        "",
        *overview(result),
        "",
        f"On the {result['val']['mien']['photographs']} photographs of `val`, at each one's own threshold. A face is",
        "found where the boxes' intersection over union is 0.5 or more; the cascade draws other boxes, which costs it",
        "some.",
        "",
        "## By size of the face",
        "",
        *_sizes(result),
        "",
        "## By pose",
        "",
        *_poses(result),
        "",
        "Recall of faces from 24 pixels on whose points are known; the pose is the nose's distance from the middle of",
        "the eyes. Faces that people drew boxes of, of any size: " + _drawn(result) + ".",
        "",
        "## Points and crops",
        "",
        *_points(result),
        "",
        f"Cut by these boxes instead of YuNet's, {crops['gender']:.1%} of {crops['faces']} faces change the gender and "
        f"{crops['emotion']:.1%} the",
        f"emotion that the default models tell; ages move by {crops['age_years']:.2f} years on average.",
        "",
        "## On counted photographs",
        "",
        *_counted(result),
        "",
    ]
    return "\n".join([*lines, _LIMITS])


def overview(result: collection.Result) -> list[str]:
    """Return the table that says which detector to take."""
    rows = [
        "| detector | recall, faces > 24 px | false boxes | average precision | ms at 640x480 | ms at 320x320 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in DETECTORS:
        figures = result["val"][name]["by_size"]
        spent = [result["time"][size][name]["median_ms"] for size in ("640x480", "320x320")]
        rows.append(
            f"| `{name}` | {figures['>24']['recall']:.1%} | {figures['all']['false_boxes']} | "
            f"{_percent(figures['>24']['average_precision'])} | {spent[0]:.1f} | {spent[1]:.1f} |"
        )
    return rows


def _sizes(result: collection.Result) -> list[str]:
    rows = ["| longer side | faces | " + " | ".join(f"{name}: recall, AP" for name in DETECTORS) + " |"]
    rows.append("| --- " * (2 + len(DETECTORS)) + "|")
    for size, first in result["val"][DETECTORS[0]]["by_size"].items():
        own = [result["val"][name]["by_size"][size] for name in DETECTORS]
        told = [f"{item['recall']:.1%}, {_percent(item['average_precision'])}" for item in own]
        rows.append(f"| {size} px | {first['faces']} | {' | '.join(told)} |".replace("| all px", "| all"))
    return rows


def _poses(result: collection.Result) -> list[str]:
    rows = ["| pose | faces | " + " | ".join(DETECTORS) + " |", "| --- " * (2 + len(DETECTORS)) + "|"]
    for pose, first in result["val"][DETECTORS[0]]["by_pose"].items():
        told = [_percent(result["val"][name]["by_pose"][pose]["recall"]) for name in DETECTORS]
        rows.append(f"| {pose} | {first['faces']} | {' | '.join(told)} |")
    return rows


def _drawn(result: collection.Result) -> str:
    drawn = {name: result["val"][name]["drawn_by_people"] for name in DETECTORS}
    count = drawn[DETECTORS[0]]["faces"]
    return ", ".join(f"{name} {figures['recall']:.1%}" for name, figures in drawn.items()) + f" of {count}"


def _points(result: collection.Result) -> list[str]:
    rows = ["| detector | faces | mean error | median error |", "| --- | --- | --- | --- |"]
    for name, figures in result["points"].items():
        rows.append(f"| {name} | {figures['faces']} | {_percent(figures['mean'])} | {_percent(figures['median'])} |")
    return [*rows, "", "Mean distance of the five points from those of the labels, as a share of the box's size."]


def _counted(result: collection.Result) -> list[str]:
    rows = ["| detector | faces found | boxes too many | boxes where there is no face |", "| --- | --- | --- | --- |"]
    for name, figures in result["counted"].items():
        rows.append(
            f"| {name} | {figures['found']} of {figures['faces']} | {figures['surplus']} | "
            f"{figures['no_face_boxes']} in {figures['no_face_photographs']} photographs |"
        )
    return rows


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def long_sides(result: collection.Result) -> list[str]:
    """Return the table that says what a larger picture finds, and costs."""
    return [
        "| long side | tiles | faces found | boxes too many | boxes where there is no face | median ms | p95 ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {row['long_side']} | {'yes' if row['tiles'] else 'no'} | {row['found']} of {row['faces']} | "
            f"{row['surplus']} | {row['no_face_boxes']} in {row['no_face_photographs']} photographs | "
            f"{row['median_ms']:.1f} | {row['p95_ms']:.1f} |"
            for row in result["rows"]
        ),
    ]


def filled(document: str, tables: Mapping[str, list[str]]) -> str:
    """Return a document with each table between the marks of its name."""
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = document.partition(begin)
        _, _, after = rest.partition(end)
        document = "\n".join([f"{before}{begin}", *table, f"{end}{after}"])
    return document


def documents() -> dict[Path, str]:
    """Return the card, and the document with its tables; nothing where the detectors were not judged."""
    told, sides = collection.detector(), collection.long_sides()
    if not told or not sides:
        return {}
    tables = {"results": overview(told), "long side": long_sides(sides)}
    return {CARD: card(told), DOCUMENT: filled(DOCUMENT.read_text(encoding="utf-8"), tables)}


if __name__ == "__main__":
    provenance.write(documents())
