"""Convert the published data sets to the zip format for training; see models/training/README.md.

Run from the repository's root, for example:

    python -m mien_training.prepare fairface downloads/fairface --out ../shared/data/fairface.zip
"""

import csv
import hashlib
import io
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from mien_models.detectors import create
from mien_models.spec import EMOTIONS
from mien_training.faces.dataset import held_out, load
from mien_training.sources.duplicates import Known
from mien_training.sources.errors import PrepareError
from mien_training.sources.expressions import effectnet_rows, facial_expressions_rows
from mien_training.sources.profiles import profile_rows

CHIP = 80
"""Side of the colour chips, in pixels."""

_SPLITS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
_VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
_RACES = ("white", "black", "asian", "indian", "other")
_VAL_SHARE = 0.1
_JPEG_QUALITY = 92

Row = dict[str, str | int]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Out = Annotated[Path, typer.Option(help="Zip to write.")]


@app.command()
def fer2013(
    labels: Annotated[Path, typer.Argument(help="fer2013.csv of the ICML 2013 challenge.")],
    votes: Annotated[Path | None, typer.Option(help="fer2013new.csv of FER+, the same rows.")] = None,
    out: Out = Path("fer2013.zip"),
) -> None:
    """Pack FER2013, with FER+'s votes if given. PublicTest becomes `val`, PrivateTest `test`."""
    _finish(out, lambda: write(out, fer2013_rows(labels, votes)))


@app.command()
def fairface(
    folder: Annotated[Path, typer.Argument(help="Folder with train/, val/ and both fairface_label_*.csv.")],
    out: Out = Path("fairface.zip"),
) -> None:
    """Pack FairFace's chips of padding 0.25."""
    _finish(out, lambda: write(out, fairface_rows(folder)))


@app.command()
def utkface(
    folder: Annotated[Path, typer.Argument(help="Folder with the aligned and cropped faces.")],
    out: Out = Path("utkface.zip"),
) -> None:
    """Pack UTKFace; a tenth of the files, chosen by a hash of their names, becomes `val`."""
    _finish(out, lambda: write(out, utkface_rows(folder)))


@app.command()
def cfp(
    folder: Annotated[Path, typer.Argument(help="Data/Images of CFP.")],
    yunet: Annotated[Path, typer.Option(help="YuNet's ONNX file, which draws the boxes.")],
    out: Out = Path("cfp.zip"),
) -> None:
    """Pack the people 1 to 400 of CFP, from the front and from the side, for the detector."""
    teacher = create("yunet", model_path=yunet, long_side=640)
    _finish(out, lambda: write(out, profile_rows(folder, teacher)))


@app.command()
def effectnet(
    folder: Annotated[Path, typer.Argument(help="The folder train of quanbk2512/effectnet.")],
    yunet: Annotated[Path, typer.Option(help="YuNet's ONNX file, which finds the faces.")],
    known: Annotated[list[Path], typer.Option(help="Labelled zip whose val and test faces are left out.")],
    out: Out = Path("effectnet.zip"),
) -> None:
    """Pack web faces in seven classes, cut as FER2013's are."""
    teacher = create("yunet", model_path=yunet, long_side=640)
    _finish(out, lambda: write(out, effectnet_rows(folder, teacher, _known(known))))


@app.command()
def facial_expressions(
    folder: Annotated[Path, typer.Argument(help="muxspace/facial_expressions: images and data/legend.csv.")],
    yunet: Annotated[Path, typer.Option(help="YuNet's ONNX file, which finds the faces.")],
    known: Annotated[list[Path], typer.Option(help="Labelled zip whose val and test faces are left out.")],
    out: Out = Path("facial_expressions.zip"),
) -> None:
    """Pack muxspace's faces in seven classes, cut as FER2013's are."""
    teacher = create("yunet", model_path=yunet, long_side=640)
    _finish(out, lambda: write(out, facial_expressions_rows(folder, teacher, _known(known))))


def _known(zips: Sequence[Path]) -> Known:
    return Known(
        image for path in zips for split in held_out(path) for image in load(path, split=split, size=48).images
    )


def fer2013_rows(labels: Path, votes: Path | None) -> Iterator[tuple[Row, bytes]]:
    """Yield labels and a lossless 48x48 image for each row; equal images with different labels are marked ambiguous."""
    rows = _read_csv(labels, ("emotion", "pixels", "Usage"))
    vote_rows = _read_csv(votes, ("Usage", *_VOTES)) if votes else [{}] * len(rows)
    if len(vote_rows) != len(rows):
        raise PrepareError(
            f"{votes} has {len(vote_rows)} rows, {labels} has {len(rows)}: they are from different releases"
        )
    given = defaultdict(set)
    for row in rows:
        given[row["pixels"]].add(row["emotion"])
    for index, (row, vote) in enumerate(zip(rows, vote_rows, strict=True)):
        pixels = np.array(row["pixels"].split(), np.uint8)
        if pixels.size != 48 * 48 or row["Usage"] not in _SPLITS or not row["emotion"].isdigit():
            raise PrepareError(f"{labels}, row {index + 2}: expected 48x48 pixels, an emotion's number and a usage")
        entry: Row = {
            "file": f"{index:05d}.png",
            "split": _SPLITS[row["Usage"]],
            "emotion": EMOTIONS[int(row["emotion"])],
            "ambiguous": int(len(given[row["pixels"]]) > 1),
        }
        yield entry | {f"votes_{name.lower()}": vote[name] for name in _VOTES if vote}, _png(pixels.reshape(48, 48))


def fairface_rows(folder: Path) -> Iterator[tuple[Row, bytes]]:
    """Yield labels and an 80x80 chip for each face of both parts."""
    for split in ("train", "val"):
        for row in _read_csv(folder / f"fairface_label_{split}.csv", ("file", "age", "gender", "race")):
            low, _, high = row["age"].removeprefix("more than ").partition("-")
            entry: Row = {
                "file": row["file"].replace("/", "_"),
                "age_low": low,
                "age_high": high,
                "gender": row["gender"].lower(),
                "race": row["race"],
                "split": split,
            }
            yield entry, _chip(folder / row["file"])


def utkface_rows(folder: Path) -> Iterator[tuple[Row, bytes]]:
    """Yield labels from the file name (age_gender_race_date) and an 80x80 chip for each face."""
    paths = sorted(path for path in folder.rglob("*.jpg"))
    if not paths:
        raise PrepareError(f"{folder} contains no .jpg files")
    for path in paths:
        age, gender, race, *rest = path.name.split("_")
        if not (rest and age.isdigit() and gender in "01" and race.isdigit() and int(race) < len(_RACES)):
            typer.echo(f"skipped, since its name lacks a label: {path.name}", err=True)
            continue
        share = int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:4]) / 2**32
        entry: Row = {
            "file": path.name,
            "age": age,
            "gender": ("male", "female")[int(gender)],
            "race": _RACES[int(race)],
            "split": "val" if share < _VAL_SHARE else "train",
        }
        yield entry, _chip(path)


def write(out: Path, rows: Iterable[tuple[Row, bytes]]) -> None:
    """Write the zip: the images in order, then the labels."""
    labels: list[Row] = []
    partial = out.with_name(f".{out.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            for row, image in rows:
                archive.writestr(str(row["file"]), image)
                labels.append(row)
            text = io.StringIO()
            writer = csv.DictWriter(text, fieldnames=list(labels[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(labels)
            archive.writestr("labels.csv", text.getvalue())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    typer.echo(f"{out}: {len(labels):,} faces")


def _finish(out: Path, work: Callable[[], None]) -> None:
    if not out.parent.is_dir():
        raise typer.BadParameter(f"folder {out.parent} does not exist")
    try:
        work()
    except PrepareError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def _read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    if not path.is_file():
        raise PrepareError(f"{path} does not exist")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise PrepareError(f"{path} has no column {missing[0]!r}")
        return list(reader)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


def _chip(path: Path) -> bytes:
    """Read an image and resize it to the chip's size."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise PrepareError(f"{path} does not exist or is not an image")
    if image.shape[:2] != (CHIP, CHIP):
        image = cv2.resize(image, (CHIP, CHIP), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1])


if __name__ == "__main__":
    app()
