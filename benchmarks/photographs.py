"""Known photographs through the whole path: faces found beside faces counted, sexes told beside sexes known.

python benchmarks/photographs.py --photographs ../shared/photos --out benchmarks/results/photographs.json
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import mien
from mien_orchestrator.embedded import EmbeddedEngine
from mien_orchestrator.settings import Settings

COUNTS = {
    "nasa/STS-106.jpg": 7,
    "nasa/Prime_and_backup_crew_for_ISS_Expedition_13.jpg": 6,
    "nasa/Expedition_3_Crew.jpg": 10,
    "nasa/Expedition_1_Crew.jpg": 3,
    "nasa/Expedition_1.jpg": 3,
    "azure/faces.jpg": 6,
    "azure/identification1.jpg": 4,
    "azure/detection4.jpg": 3,
    "azure/detection5.jpg": 3,
    "azure/detection6.jpg": 2,
    "azure/test-image-person-group.jpg": 2,
    "azure/detection1.jpg": 1,
    "azure/detection2.jpg": 1,
    "azure/detection3.jpg": 1,
}
"""Faces counted by eye; the portraits below have one each."""

FEMALE = (
    "nasa/Cady_Coleman.jpg",
    "nasa/Julie_Payette.jpg",
    "nasa/Kate_Rubins.jpg",
    "nasa/Peggy_Whitson.jpg",
    "azure/Family1-Daughter1.jpg",
    "azure/Family1-Mom1.jpg",
    "azure/Family2-Lady1.jpg",
    "azure/Family3-Lady1.jpg",
    "public_domain/nasa_eileen_collins_astronaut.png",
    "public_domain/usnavy_grace_hopper_128.jpg",
)
MALE = (
    "nasa/Carl_Walz.jpg",
    "nasa/Chris_Ferguson.jpg",
    "nasa/Franklin_Chang_Diaz.jpg",
    "nasa/Mike_Mullane.jpg",
    "nasa/Stephen_Frick.jpg",
    "nasa/John_Herrington.jpg",
    "azure/Family1-Dad1.jpg",
    "azure/Family1-Son1.jpg",
    "azure/Family2-Man1.jpg",
    "azure/Family3-Man1.jpg",
    "public_domain/whitehouse_biden.jpg",
    "public_domain/whitehouse_obama.jpg",
)
"""Portraits of one person whose sex is known, from the photograph's name."""

SEXES = dict.fromkeys(FEMALE, "female") | dict.fromkeys(MALE, "male")


def main(
    photographs: Annotated[Path, typer.Option(help="Folder with nasa, azure, public_domain, no_face.")],
    out: Annotated[Path | None, typer.Option(help="Result file.")] = None,
) -> None:
    """Run every detector over the photographs."""
    detectors = {name: _measure(photographs, name) for name in ("haar", "yunet")}
    document = {"command": " ".join(["python", *sys.argv]), "detectors": detectors}
    if out:
        out.write_text(json.dumps(document, indent=2) + "\n")
    for name, figures in detectors.items():
        Console(width=130).print(_table(name, figures))


def _measure(folder: Path, detector: str) -> dict[str, object]:
    engine = EmbeddedEngine(Settings.load(detector=detector))
    names = [*COUNTS, *SEXES]
    names += [f"no_face/{path.name}" for path in sorted((folder / "no_face").iterdir()) if path.suffix != ".md"]
    rows = []
    for name in names:
        request = mien.request.analyze_request(folder / name, tasks=None, max_faces=0, all_or_nothing=True)
        analysis = mien.Analysis.from_message(engine.analyze(request, 60))
        face = analysis.faces[0] if analysis.faces else None
        rows.append(
            {
                "photograph": name,
                "faces": 0 if name.startswith("no_face") else COUNTS.get(name, 1),
                "found": len(analysis.faces),
                "sex": SEXES.get(name),
                "told": face.gender.value if face and face.gender else None,
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
        "sex_right": sum(row["sex"] == row["told"] for row in portraits),
        "rows": rows,
    }


def _table(detector: str, figures: dict[str, object]) -> Table:
    title = (
        f"{detector}: {figures['found']} of {figures['faces']} faces, {figures['surplus']} boxes too many, "
        f"sex right in {figures['sex_right']} of {figures['portraits']} portraits"
    )
    table = Table(title=title)
    for heading in ("photograph", "faces", "found", "sex", "told", "probability", "years", "emotion"):
        table.add_column(heading)
    for row in figures["rows"]:  # type: ignore[attr-defined]
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    return table


if __name__ == "__main__":
    typer.run(main)
