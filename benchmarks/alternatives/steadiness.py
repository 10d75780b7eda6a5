"""How much the predictions of each system change between the frames of gentle clips, frame by frame.

The clips are those of the video benchmark: one face, a slow pan over a photograph, little noise. Mien is measured
twice: frame by frame as the others, and as a stream, which is what it offers for videos.
"""

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mien
from alternatives.catalog import REPOSITORY
from alternatives.driving import Answer
from alternatives.results import Steadiness
from mien_orchestrator.settings import Settings
from video_clips import FPS, Clip, pan
from video_metrics import flips, scatter

FRAMES = 100
"""Frames of each clip, four seconds."""

STREAM = "mien-stream"
"""Name of Mien's stream in the result file."""

_EXAMPLE = REPOSITORY / "examples" / "astronaut.jpg"
_PORTRAITS = {"public_domain/whitehouse_obama.jpg": 247.0, "nasa/Julie_Payette.jpg": 130.0}
"""Photographs and the height of the face in the clip, in pixels."""

_NO_TURNS = Settings.load({"limits.cpu_threads": 1})


def write_frames(photographs: Path, folder: Path) -> dict[str, list[Path]]:
    """Write the frames of the clips as JPEG files; return their paths by clip.

    Args:
        photographs: Folder of photographs with `faces.csv`.
        folder: The folder to write to.

    """
    with (photographs / "faces.csv").open(newline="", encoding="utf-8") as file:
        boxes = {row["file"]: [float(row[key]) for key in "xywh"] for row in csv.DictReader(file)}
    with tempfile.TemporaryDirectory() as videos:
        clips = [pan(_EXAMPLE, Path(videos), count=FRAMES)]
        clips += [
            pan(photographs / name, Path(videos), count=FRAMES, face=boxes[name], height=height)
            for name, height in _PORTRAITS.items()
        ]
    return {clip.name: _written(clip, folder / clip.name) for clip in clips}


def _written(clip: Clip, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04}.jpg" for number in range(len(clip.frames))]
    for path, frame in zip(paths, clip.frames, strict=True):
        path.write_bytes(frame)
    return paths


def steadiness(answers: Sequence[Answer]) -> Steadiness:
    """Return the changes of the largest face's predictions over the frames of a clip."""
    faces = [max(answer.faces, key=lambda face: face.box[2] * face.box[3], default=None) for answer in answers]
    return _changes(
        [face.gender if face else None for face in faces],
        [face.emotion if face else None for face in faces],
        [face.age if face else None for face in faces],
        sum(face is not None for face in faces),
    )


def stream_steadiness(frames: Sequence[Path]) -> Steadiness:
    """Return the same of Mien's stream, in this process."""
    with mien.Client.local(settings=_NO_TURNS) as client:
        results = list(client.stream((path.read_bytes() for path in frames), frame_rate=FPS))[:-1]
    faces = [max(result.faces, key=lambda each: each.face.box.height, default=None) for result in results]
    genders = [each.face.gender if each else None for each in faces]
    return _changes(
        [None if gender is None else "male" if gender.male_probability >= 0.5 else "female" for gender in genders],
        [each.emotion if each else None for each in faces],
        [each.face.age.years if each and each.face.age else None for each in faces],
        sum(each is not None for each in faces),
    )


def _changes(
    genders: Sequence[str | None], emotions: Sequence[str | None], ages: Sequence[float | None], found: int
) -> Steadiness:
    spread = scatter(ages)
    return Steadiness(
        frames=len(genders),
        found=found,
        gender_flips=round(flips(genders), 2) if any(genders) else None,
        emotion_flips=round(flips(emotions), 2) if any(emotions) else None,
        age_std=None if spread is None else round(spread, 2),
    )
