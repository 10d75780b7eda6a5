"""Results as tables for people."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mien.types.analysis import Analysis
from mien.types.face import Face
from mien.types.server_info import ModelInfo, ServerInfo

_PIPE_WIDTH = 160


def console() -> Console:
    """Return the console of standard output: the terminal's width, or a wide one where it is a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)


def analyses(results: Sequence[tuple[str, Analysis]]) -> Table:
    """Return one row a face."""
    table = Table()
    for heading in ("image", "face", "age", "gender", "emotion", "mood"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "face" else "left")
    for name, analysis in results:
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
    gender = f"{face.gender.value} {face.gender.probability:.0%}" if face.gender else "-"
    emotion = ", ".join(f"{item.label} {item.probability:.0%}" for item in face.emotions[:2] if item.probability >= 0.1)
    mood = f"{face.mood.label} ({face.mood.valence:+.2f}, {face.mood.arousal:+.2f})" if face.mood else "-"
    return age, gender, emotion or "-", mood


def models(items: Sequence[ModelInfo]) -> Table:
    """Return one row a model."""
    table = Table()
    for heading in ("model", "version", "tasks", "default", "parameters", "summary"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "parameters" else "left")
    for item in items:
        default = "yes" if item.is_default else ""
        table.add_row(
            item.name, item.version, ", ".join(item.tasks), default, f"{item.parameters:,}", escape(item.summary)
        )
    return table


def server_info(info: ServerInfo) -> Table:
    """Return one row a fact."""
    table = Table(show_header=False)
    table.add_row("version", info.version)
    table.add_row("deployment mode", info.deployment_mode or "unknown")
    table.add_row("tasks", ", ".join(info.tasks))
    table.add_row("detector", f"{info.detector.name} {info.detector.version}")
    table.add_row("formats", ", ".join(info.formats))
    table.add_row("largest image", f"{info.max_image_bytes:,} bytes, {info.max_image_pixels:,} pixels")
    table.add_row("most faces", str(info.max_faces))
    table.add_row("answers for faces from", f"{info.min_face:g} pixels, sharpness {info.min_sharpness:.3g}")
    return table
