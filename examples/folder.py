"""Write a CSV table of all faces in a folder: python examples/folder.py localhost:50051 photos/ faces.csv"""

import csv
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mien

COLUMNS = ("file", "face", "years", "gender", "emotion", "valence", "error")


def rows(client: mien.Client, photo: Path) -> list[dict[str, object]]:
    """Return one row per face; one with the error if the file is not an image."""
    try:
        analysis = client.analyze(photo)
    except mien.ImageError as error:
        return [{"file": photo.name, "error": error.message}]
    return [
        {
            "file": photo.name,
            "face": number,
            "years": round(face.age.years, 1) if face.age else None,
            "gender": face.gender.value if face.gender else None,
            "emotion": face.emotion.label if face.emotion else None,
            "valence": round(face.mood.valence, 2) if face.mood else None,
        }
        for number, face in enumerate(analysis.faces)
    ]


def main(server: str, folder: str, table: str) -> None:
    """Analyze four files at a time; a client may be used from several threads."""
    photos = sorted(path for path in Path(folder).iterdir() if path.is_file())
    with mien.Client(server) as client, ThreadPoolExecutor(4) as threads, open(table, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for photo_rows in threads.map(lambda photo: rows(client, photo), photos):
            writer.writerows(photo_rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
