"""List Mien's errors on known photographs: portraits with a wrong gender or an undetected face.

python benchmarks/mistakes.py --photographs ../shared/photos --out benchmarks/results/mistakes.json

Only the sex of the people is known; their ages and emotions are not, so the predictions of both are listed beside each
error for manual review.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import mien
import weights
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
    """Collect the errors with every detector."""
    detectors = {name: _errors(photographs, name) for name in DETECTORS}
    document = {
        "command": " ".join(["python", *sys.argv]),
        "weights": weights.defaults(*DETECTORS),
        "portraits": len(SEXES),
        "detectors": detectors,
    }
    if out:
        out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for name, errors in detectors.items():
        Console(width=130).print(_table(f"{name}: {len(errors['mistakes'])} of {len(SEXES)} portraits", errors))


def _errors(folder: Path, detector: str) -> dict[str, dict[str, str] | list[Mistake]]:
    """Return the models and, for each error, the predictions for the largest face."""
    engine = LocalEngine(Settings.load({"detector.name": detector}))
    try:
        models: dict[str, str] = {}
        mistakes: list[Mistake] = []
        for name, sex in SEXES.items():
            request = analyze_request(folder / name, tasks=None, max_faces=1, all_or_nothing=True)
            analysis = mien.Analysis.from_message(engine.call(ANALYZE, request, 60, call_metadata({})).message)
            models |= {task.task: f"{task.model.name} {task.model.digest}" for task in analysis.tasks if task.model}
            face = analysis.faces[0] if analysis.faces else None
            if face is None or face.gender is None or face.gender.value != sex:
                mistakes.append({"photograph": name, "sex": sex, **_prediction(face)})
    finally:
        engine.close()
    return {"models": models, "mistakes": mistakes}


def _prediction(face: mien.Face | None) -> Mistake:
    if face is None:
        return {"mistake": "no face found"}
    if face.gender is None or face.age is None or face.emotion is None:
        return {"mistake": face.abstention}
    return {
        "mistake": "gender uncertain" if face.gender.value == "uncertain" else "wrong gender",
        "predicted": face.gender.value,
        "probability": round(face.gender.probability, 3),
        "face_height": round(face.box.height),
        "years": round(face.age.years, 1),
        "range": f"{face.age.low:.0f}-{face.age.high:.0f}",
        "emotion": face.emotion.label,
    }


def _table(title: str, errors: dict[str, dict[str, str] | list[Mistake]]) -> Table:
    table = Table(title=title)
    headings = ("photograph", "sex", "mistake", "predicted", "probability", "face_height", "years", "range", "emotion")
    for heading in headings:
        table.add_column(heading)
    for mistake in errors["mistakes"]:
        assert isinstance(mistake, dict)
        table.add_row(*(str(mistake.get(heading) or "") for heading in headings))
    return table


if __name__ == "__main__":
    typer.run(main)
