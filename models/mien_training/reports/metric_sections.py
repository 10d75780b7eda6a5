"""The sections of a model's card with the metrics of each task, as lines of Markdown."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_KINDS = {"gender": "gender", "race": "race group", "decade": "age"}


def table(*rows: tuple[object, ...]) -> list[str]:
    """Return a table; the first row is its head."""
    lines = [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return [lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]


def percent(value: float | None) -> str:
    """Return a share in percent, `-` for None."""
    return "-" if value is None else f"{value:.1%}"


def _emotion(metrics: dict[str, Any]) -> Iterator[list[str]]:
    fer, plus = metrics["fer"], metrics.get("ferplus")
    lines = [f"Emotion: {fer['accuracy']:.1%} of FER2013's labels."]
    if plus:
        lines.append(f"{plus['accuracy']:.1%} of the FER+ majority labels ({plus['n']:,} faces).")
    yield lines
    rows = [
        (name, percent(recall), percent(plus["recall"][name] if plus else None))
        for name, recall in fer["recall"].items()
    ]
    yield table(("emotion", "recall, FER2013", "recall, FER+"), *rows)
    yield ["FER2013 does not label people, so there are no metrics by gender, race group or age."]


def _gender(metrics: dict[str, Any]) -> Iterator[list[str]]:
    lines = [f"Gender: {metrics['accuracy']:.1%} correct.{_worst(metrics, 'accuracy')}"]
    if "age_13_up" in metrics:
        lines.append(f"From 13 years on: {metrics['age_13_up']['accuracy']:.1%}.")
    yield lines
    if "certain" not in metrics:
        yield _groups(metrics, ("accuracy", "accuracy"))
        return
    certain = metrics["certain"]
    yield [
        f"`uncertain` is returned for {certain['uncertain']:.1%} of the faces; "
        f"{percent(certain['accuracy'])} of the other answers are correct."
    ]
    yield _groups(
        {
            kind: {name: group | _renamed(certain[kind][name]) for name, group in metrics[kind].items()}
            for kind in (f"by_{kind}" for kind in _KINDS)
            if kind in metrics
        },
        ("accuracy", "accuracy"),
        ("uncertain", "uncertain"),
        ("accuracy without uncertain", "certain_accuracy"),
    )


def _renamed(certain: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of the faces whose gender is certain, under distinct names."""
    return {"uncertain": certain["uncertain"], "certain_accuracy": certain["accuracy"]}


def _age(metrics: dict[str, Any]) -> Iterator[list[str]]:
    if "exact" in metrics:
        exact = metrics["exact"]
        yield [f"Age: {exact['mae']:.2f} years mean absolute error.{_worst(exact, 'mae')}"]
        yield _groups(exact, ("mean absolute error, years", "mae"))
    if "bins" in metrics:
        bins = metrics["bins"]
        result = f"{bins['hit']:.1%} hit, {bins['hit_within_one']:.1%} within one bin."
        yield [f"Age bins: {result}{_worst(bins, 'hit')}"]
        yield _groups(bins, ("hit", "hit"), ("within one bin", "hit_within_one"))


SECTIONS: Mapping[str, Callable[[dict[str, Any]], Iterator[list[str]]]] = {
    "age": _age,
    "gender": _gender,
    "emotion": _emotion,
}


def _groups(metrics: dict[str, Any], *columns: tuple[str, str]) -> list[str]:
    """Return one row per group: gender, race group, age."""
    rows = [
        (_KINDS[kind], name, f"{group['n']:,}", *(formatted(key, group[key]) for _, key in columns))
        for kind in _KINDS
        for name, group in metrics.get(f"by_{kind}", {}).items()
    ]
    return table(("group by", "group", "faces", *(title for title, _ in columns)), *rows)


def _worst(metrics: dict[str, Any], key: str) -> str:
    worst = metrics.get("worst")
    if not worst:
        return ""
    unit = " years" if key == "mae" else ""
    result = f"{formatted(key, worst[key])}{unit} ({worst['n']:,} faces)"
    return f" Worst group: {_KINDS[worst['by']]} {worst['group']}, {result}."


def formatted(key: str, value: float | None) -> str:
    """Return the value of a metric: years for `mae`, otherwise a share in percent."""
    return f"{value:.2f}" if key == "mae" else percent(value)
