"""Tables of accuracy, by measure, group and data set."""

from statistics import median

from alternatives.catalog import ALTERNATIVES, MIEN, SYSTEMS, Alternative
from alternatives.results import Accuracy, Comparison
from alternatives.scoring import AGE, CLOSE_YEARS, FAIRFACE, FER2013, FER_PLUS, UTKFACE, Figure, worst_group
from tables import table

MEASURES = (FER2013, FER_PLUS, FAIRFACE, UTKFACE, AGE)
_SIGNIFICANT = 2.0
"""Standard errors from which a difference counts."""


def standing(comparison: Comparison, name: str) -> list[tuple[Alternative, Figure]]:
    """Return the alternatives with a measure, the best over all samples first."""
    found = [
        (system, item)
        for system in ALTERNATIVES
        if (accuracy := comparison.accuracy.get(system.name)) and (item := accuracy.figures.get(name))
    ]
    return sorted(found, key=lambda entry: -entry[1].of_all)


def lead(name: str, item: Figure) -> float | None:
    """Return Mien's lead on the faces that both predicted: positive if Mien is better; None without such faces."""
    if not item.paired:
        return None
    return (item.paired.system - item.paired.mien) * (1 if name == AGE else -1)


def verdict(name: str, item: Figure) -> str:
    """Return whether Mien is ahead of a system on the faces that both answered, beyond two standard errors."""
    ahead = lead(name, item)
    if ahead is None or item.paired is None:
        return "-"
    if abs(ahead) <= _SIGNIFICANT * item.paired.error:
        return "level"
    return "ahead" if ahead > 0 else "**behind**"


def accuracy_text(comparison: Comparison) -> str:
    """Return the description of the accuracy measurement."""
    uncertain, faces = comparison.accuracy["mien"].uncertain, comparison.accuracy["mien"].detection["fairface"].faces
    return (
        "Faces of the `val` splits, chosen by a fixed seed, enlarged to 224 pixels in the centre of a picture of "
        "448 x 448 pixels with a margin of one colour. Nothing was tuned on these pictures. *Answered* faces are found "
        "and have a prediction. *Over all* counts every other face as wrong. *Mien on the same faces* is on those that "
        "both answered; *ahead* and *behind* need a difference of two standard errors, otherwise it is *level*.\n\n"
        "What to keep in mind: the images are tight, so systems that look at hair and shoulders see the margin "
        "instead. `val` was used to select and calibrate Mien's models, not to train them, and Mien was trained on the "
        "same data sets. The emotion models of `fer` and Human were trained on FER2013, face-api.js's model of age and "
        "gender on UTKFace among others: some of these faces may have been among theirs. Mien "
        f"marks {uncertain} of the {faces} FairFace faces as `uncertain`; here its more probable gender counts, as "
        "everywhere."
    )


def measure_table(comparison: Comparison, name: str) -> str:
    """Return the table of one measure."""
    rows = []
    for system in SYSTEMS:
        accuracy = comparison.accuracy.get(system.name)
        item = accuracy.figures.get(name) if accuracy else None
        if item:
            same = "" if system is MIEN or not item.paired else f"{mean(name, item.paired.mien)}, {verdict(name, item)}"
            cells = [f"{item.answered} of {item.samples}", mean(name, item.mean), f"{item.of_all:.1%}", same]
            rows.append([system.title, *cells])
    over = "mean absolute error, answered" if name == AGE else "right, answered"
    right = f"within {CLOSE_YEARS:.0f} years, over all" if name == AGE else "right, over all"
    return table(["system", "answered", over, right, "Mien on the same faces"], rows)


def groups_table(comparison: Comparison) -> str:
    """Return the accuracy of gender by race group."""
    groups = [name for name in comparison.accuracy["mien"].figures if name.startswith(f"{FAIRFACE}, ")]
    rows = []
    for system in SYSTEMS:
        accuracy = comparison.accuracy.get(system.name)
        worst = worst_group(accuracy.figures) if accuracy else None
        if accuracy and worst:
            cells = []
            for name in groups:
                item = accuracy.figures.get(name)
                text = f"{item.of_all:.0%}" if item else "0%"
                cells.append(f"**{text}**" if name.endswith(f", {worst[0]}") else text)
            rows.append([system.title, *cells])
    counts = [comparison.accuracy["mien"].figures[name].samples for name in groups]
    names = [name.removeprefix(f"{FAIRFACE}, ") for name in groups]
    return table(["system", *(f"{name} ({count})" for name, count in zip(names, counts, strict=True))], rows)


def detection_table(comparison: Comparison) -> str:
    """Return the table of found faces and false boxes."""
    names = list(comparison.accuracy["mien"].detection)
    rows = []
    for system, accuracy in scored(comparison):
        items = [accuracy.detection[name] for name in names]
        cells = [f"{item.found / item.faces:.1%}" for item in items]
        rows.append([system.title, *cells, str(sum(item.surplus for item in items))])
    return table(["system", *(f"{name}, found" for name in names), "false boxes"], rows)


def photographs_table(comparison: Comparison) -> str:
    """Return the table of the known photographs."""
    rows = []
    for system, accuracy in scored(comparison):
        item = accuracy.photographs
        rows.append(
            [
                system.title,
                f"{item.found} of {item.faces}",
                str(item.surplus),
                str(item.no_face_boxes),
                f"{item.portraits_found} of {item.portraits}",
                f"{item.genders_right} of {item.portraits}" if "gender" in system.tasks else "-",
                str(item.genders_wrong) if "gender" in system.tasks else "-",
                f"{median(item.cpu_ms):.0f}",
            ]
        )
    headings = [
        "system",
        "faces found",
        "false boxes beside faces",
        "boxes in photographs without a face",
        "portraits found",
        "gender right",
        "gender wrong, and not marked as uncertain",
        "CPU ms per portrait, median",
    ]
    return table(headings, rows)


def heading(name: str) -> str:
    """Return a measure's name as a heading."""
    return name[0].upper() + name[1:]


def of_all(name: str, item: Figure) -> str:
    """Return a measure over all samples."""
    return f"{item.of_all:.1%} within {CLOSE_YEARS:.0f} years" if name == AGE else f"{item.of_all:.1%}"


def scored(comparison: Comparison) -> list[tuple[Alternative, Accuracy]]:
    """Return the systems whose accuracy was measured."""
    return [(system, comparison.accuracy[system.name]) for system in SYSTEMS if system.name in comparison.accuracy]


def mean(name: str, value: float) -> str:
    """Return the mean of a measure."""
    return f"{value:.2f} years" if name == AGE else f"{value:.1%}"
