"""Compare predictions on known photographs with hand-counted faces and known sexes.

python benchmarks/photographs.py --photographs ../shared/photos --out benchmarks/results/photographs.json
"""

import csv
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

KNOWN = Path(__file__).parent / "known_photographs.csv"
"""File, number of faces counted by hand and, for portraits of one person, the sex."""


def main(
    photographs: Annotated[Path, typer.Option(help="Folder with nasa, azure, public_domain, no_face.")],
    out: Annotated[Path | None, typer.Option(help="Result file.")] = None,
) -> None:
    """Run every detector over the photographs."""
    detectors = {name: _measure(photographs, name) for name in DETECTORS}
    document = {
        "command": " ".join(["python", *sys.argv]),
        "weights": weights.defaults(*DETECTORS),
        "detectors": detectors,
    }
    if out:
        out.write_text(json.dumps(document, indent=2) + "\n")
    for name, metrics in detectors.items():
        Console(width=130).print(_table(name, metrics))


def read_known() -> list[tuple[str, int, str | None]]:
    """Return file, number of faces and sex (None except for portraits) of each photograph in `KNOWN`."""
    with KNOWN.open(encoding="utf-8", newline="") as handle:
        return [(row["file"], int(row["faces"]), row["sex"] or None) for row in csv.DictReader(handle)]


def _measure(folder: Path, detector: str) -> dict[str, object]:
    engine = LocalEngine(Settings.load({"detector.name": detector}))
    empty = [path.name for path in sorted((folder / "no_face").iterdir()) if path.suffix != ".md"]
    rows = []
    for name, count, sex in [*read_known(), *((f"no_face/{name}", 0, None) for name in empty)]:
        request = analyze_request(folder / name, tasks=None, max_faces=None, all_or_nothing=True)
        analysis = mien.Analysis.from_message(engine.call(ANALYZE, request, 60, call_metadata({})).message)
        face = analysis.faces[0] if analysis.faces else None
        rows.append(
            {
                "photograph": name,
                "faces": count,
                "found": len(analysis.faces),
                "sex": sex,
                "predicted": face.gender.value if face and face.gender else None,
                "probability": round(face.gender.probability, 3) if face and face.gender else None,
                "years": round(face.age.years, 1) if face and face.age else None,
                "emotion": face.emotion.label if face and face.emotion else None,
            }
        )
    engine.close()
    portraits = [row for row in rows if row["sex"]]
    return {
        "faces": sum(int(row["faces"] or 0) for row in rows),
        "found": sum(min(int(row["found"] or 0), int(row["faces"] or 0)) for row in rows),
        "surplus": sum(max(0, int(row["found"] or 0) - int(row["faces"] or 0)) for row in rows),
        "no_face_boxes": sum(int(row["found"] or 0) for row in rows if str(row["photograph"]).startswith("no_face")),
        "portraits": len(portraits),
        "sex_correct": sum(row["sex"] == row["predicted"] for row in portraits),
        "rows": rows,
    }


def _table(detector: str, metrics: dict[str, object]) -> Table:
    title = (
        f"{detector}: {metrics['found']} of {metrics['faces']} faces, {metrics['surplus']} surplus boxes, "
        f"sex correct in {metrics['sex_correct']} of {metrics['portraits']} portraits"
    )
    table = Table(title=title)
    for heading in ("photograph", "faces", "found", "sex", "predicted", "probability", "years", "emotion"):
        table.add_column(heading)
    for row in metrics["rows"]:  # type: ignore[attr-defined]
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    return table


if __name__ == "__main__":
    typer.run(main)
