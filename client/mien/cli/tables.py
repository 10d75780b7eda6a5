"""Format results as tables."""

import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mien.types.analysis import Analysis
from mien.types.face import Face
from mien.types.model_info import ModelInfo
from mien.types.server_info import ServerInfo

_PIPE_WIDTH = 160


def console() -> Console:
    """Return a console for standard output, as wide as the terminal, or 160 columns for a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)


def analyses(results: Sequence[tuple[str, Analysis]]) -> Table:
    """Return a table with one row per face; long file names are shortened in the middle."""
    names = shortened([name for name, _ in results])
    table = Table()
    for heading in ("image", "face", "age", "gender", "emotion", "mood"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "face" else "left")
    for name, (_, analysis) in zip(names, results, strict=True):
        if not analysis.faces:
            table.add_row(escape(name), "no face", "", "", "", "")
        for index, face in enumerate(analysis.faces):
            more = " (more not shown)" if analysis.faces_truncated and index + 1 == len(analysis.faces) else ""
            table.add_row(escape(name) if index == 0 else "", f"{index + 1}{more}", *_cells(face))
        table.add_section()
    return table


def _cells(face: Face) -> tuple[str, str, str, str]:
    if face.abstained:
        return face.abstention, "-", "-", "-"
    age = f"{face.age.years:.0f} ({face.age.low:.0f}-{face.age.high:.0f})" if face.age else "-"
    gender = str(face.gender).removeprefix("gender ") if face.gender else "-"
    emotion = ", ".join(f"{item.label} {item.probability:.0%}" for item in face.emotions[:2] if item.probability >= 0.1)
    mood = f"{face.mood.label} ({face.mood.valence:+.2f}, {face.mood.arousal:+.2f})" if face.mood else "-"
    return age, gender, emotion or "-", mood


def shortened(names: Sequence[str], width: int = 36) -> list[str]:
    """Shorten names to `width` characters with an ellipsis in the middle; different names stay different."""
    wanted = len(set(names))
    while True:
        short = [_middle(name, width) for name in names]
        if len(set(short)) == wanted:
            return short
        width *= 2


def _middle(name: str, width: int) -> str:
    tail = width * 2 // 3
    return name if len(name) <= width else f"{name[: width - tail - 1]}\N{HORIZONTAL ELLIPSIS}{name[-tail:]}"


def models(items: Sequence[ModelInfo], in_use: Mapping[str, ModelInfo], detector: ModelInfo) -> Table:
    """Return a table with one row per model, and the tasks for which it is in use."""
    table = Table()
    for heading in ("model", "version", "in use", "tasks", "parameters", "summary"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "parameters" else "left")
    if detector.name not in {item.name for item in items}:
        table.add_row(detector.name, detector.version, "detector", "detection", *_size(detector))
    for item in items:
        tasks = ", ".join(task for task, model in in_use.items() if model.name == item.name)
        used = "detector" if item.name == detector.name else tasks
        table.add_row(item.name, item.version, used, ", ".join(item.tasks), *_size(item))
    return table


def _size(item: ModelInfo) -> tuple[str, str]:
    return f"{item.parameters:,}" if item.parameters else "-", escape(item.summary)


def _model_on_device(model: ModelInfo) -> str:
    return f"{model.name} {model.version}{f' on {model.device}' if model.device else ''}"


def server_info(info: ServerInfo) -> Table:
    """Return a table with one row per property."""
    table = Table(show_header=False)
    table.add_row("version", info.version)
    table.add_row("deployment mode", info.deployment_mode or "unknown")
    table.add_row("tasks", ", ".join(info.tasks))
    table.add_row("detector", _model_on_device(info.detector))
    for task, model in info.models.items():
        table.add_row(f"model for {task}", _model_on_device(model))
    table.add_row("formats", ", ".join(info.formats))
    table.add_row("largest image", f"{info.max_image_bytes:,} bytes, {info.max_image_pixels:,} pixels")
    table.add_row("most faces", str(info.max_faces))
    table.add_row("smallest face", f"{info.min_face_px:g} pixels high, sharpness {info.min_sharpness:.3g}")
    return table
