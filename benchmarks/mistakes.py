"""Where Mien is wrong on known photographs: every portrait whose sex was told wrong, or whose face was not found.

python benchmarks/mistakes.py --photographs ../shared/photos --out benchmarks/results/mistakes.json

Only the sex of the portrayed is known; of ages and emotions nothing is told that could be held against them, so both
are listed beside each mistake for people to judge.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import mien
from mien.request import analyze_request, call_metadata
from mien.transport.local import LocalEngine
from mien.transport.methods import ANALYZE
from mien_models.detectors import DETECTORS
from mien_orchestrator.settings import Settings
from photographs import read_known

SEXES = {name: sex for name, _, sex in read_known() if sex}

Mistake = dict[str, str | float | None]


def main(
    photographs: Annotated[Path, typer.Option(help="Folder with nasa, azure, public_domain.")],
    out: Annotated[Path | None, typer.Option(help="Result file.")] = None,
) -> None:
    """Collect the mistakes with every detector."""
    detectors = {name: _judged(photographs, name) for name in DETECTORS}
    document = {"command": " ".join(["python", *sys.argv]), "portraits": len(SEXES), "detectors": detectors}
    if out:
        out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for name, judged in detectors.items():
        Console(width=130).print(_table(f"{name}: {len(judged['mistakes'])} of {len(SEXES)} portraits", judged))


def _judged(folder: Path, detector: str) -> dict[str, dict[str, str] | list[Mistake]]:
    """Return the models and, for each wrong portrait, what was said of its largest face."""
    engine = LocalEngine(Settings.load(detector=detector))
    try:
        models: dict[str, str] = {}
        mistakes: list[Mistake] = []
        for name, sex in SEXES.items():
            request = analyze_request(folder / name, tasks=None, max_faces=1, all_or_nothing=True)
            analysis = mien.Analysis.from_message(engine.call(ANALYZE, request, 60, call_metadata({})).message)
            models |= {task.task: f"{task.model.name} {task.model.digest}" for task in analysis.tasks if task.model}
            face = analysis.faces[0] if analysis.faces else None
            if face is None or face.gender is None or face.gender.value != sex:
                mistakes.append({"photograph": name, "sex": sex, **_told(face)})
    finally:
        engine.close()
    return {"models": models, "mistakes": mistakes}


def _told(face: mien.Face | None) -> Mistake:
    if face is None:
        return {"mistake": "no face found"}
    if face.gender is None or face.age is None or face.emotion is None:
        return {"mistake": face.abstention}
    return {
        "mistake": "other sex told",
        "told": face.gender.value,
        "probability": round(face.gender.probability, 3),
        "face_height": round(face.box.height),
        "years": round(face.age.years, 1),
        "range": f"{face.age.low:.0f}-{face.age.high:.0f}",
        "emotion": face.emotion.label,
    }


def _table(title: str, judged: dict[str, dict[str, str] | list[Mistake]]) -> Table:
    table = Table(title=title)
    headings = ("photograph", "sex", "mistake", "told", "probability", "face_height", "years", "range", "emotion")
    for heading in headings:
        table.add_column(heading)
    for mistake in judged["mistakes"]:
        assert isinstance(mistake, dict)
        table.add_row(*(str(mistake.get(heading) or "") for heading in headings))
    return table


if __name__ == "__main__":
    typer.run(main)
