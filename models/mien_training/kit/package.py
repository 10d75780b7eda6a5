"""Pack faces and labels into one small file, and read them from it.

The images are stored in mosaics of up to 32 x 32 faces, which compress to half the bytes of single files. Face sizes
are multiples of 16 pixels, so that no compression block contains two faces.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_models.errors import MienError
from mien_training.faces.dataset import FaceData, concatenate, load
from mien_training.kit.recipes import KITS, KitRecipe, Source

_ACROSS = 32  # faces in a row and in a column of a mosaic
_LARGEST = 50 * 2**20  # bytes
_LABELS = ("emotion", "votes", "majority", "male", "age", "foreign", "weight")


class KitError(MienError):
    """A kit that is too large, damaged, or of another version; the message states the remedy."""


@dataclass(frozen=True, slots=True)
class Kit:
    """The inputs of a training run."""

    recipe: KitRecipe
    train: FaceData
    foreign: NDArray[np.int64]
    """(N,) index into `EMOTIONS` of a label in a foreign style, or -1."""
    weight: NDArray[np.float32]
    """(N,) sampling weight of each face."""
    val: dict[str, FaceData]
    """The `val` parts by the names of their data sets."""


def pack(recipe: KitRecipe, data: Path, out: Path) -> int:
    """Write a kit with the faces of `data`, a folder of labelled zips; return its bytes.

    Raises:
        DatasetError: A zip is missing or malformed.
        KitError: The kit would be larger than 50 MiB, or cannot be written.

    """
    partial = out.with_suffix(".partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("kit.json", json.dumps({"kit": recipe.name}))
            for source in recipe.sources:
                for split in ("train",) if source.foreign else ("train", "val"):
                    _pack_part(archive, recipe, source, split, data)
        size = partial.stat().st_size
        if size > _LARGEST:
            raise KitError(
                f"the kit {recipe.name} has {size:,} bytes, more than {_LARGEST:,}; lower a source's quality"
            )
        partial.replace(out)
    except OSError as error:
        raise KitError(f"{out} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return size


def _pack_part(archive: zipfile.ZipFile, recipe: KitRecipe, source: Source, split: str, data: Path) -> None:
    size = recipe.student.source_size
    faces = load(data / f"{source.name}.zip", split=split, size=size, usable=split == "train")
    labels: dict[str, NDArray[Any]] = {
        "emotion": faces.emotion,
        "votes": faces.votes,
        "majority": faces.majority,
        "male": faces.male,
        "age": faces.age,
        "foreign": np.full(len(faces), -1),
        "weight": np.full(len(faces), source.weight, np.float32),
    }
    if source.foreign:
        labels |= {
            "foreign": faces.votes.argmax(1),
            "emotion": np.full_like(faces.emotion, -1),
            "votes": np.zeros_like(faces.votes),
        }
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **labels)
    archive.writestr(f"{source.name}.{split}.npz", packed.getvalue())
    for number, start in enumerate(range(0, len(faces), _ACROSS**2)):
        mosaic = _mosaic(faces.images[start : start + _ACROSS**2])
        content = cv2.imencode(".webp", mosaic[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, source.quality])[1]
        archive.writestr(f"{source.name}.{split}.{number:03}.webp", bytes(content))


def _mosaic(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Arrange (N, S, S, 3) images in rows of 32; pad the last row with black."""
    count, size = images.shape[:2]
    rows = -(-count // _ACROSS)
    full = np.zeros((rows * _ACROSS, size, size, 3), np.uint8)
    full[:count] = images
    across = full.reshape(rows, _ACROSS, size, size, 3).transpose(0, 2, 1, 3, 4)
    return across.reshape(rows * size, _ACROSS * size, 3)


def _tiles(mosaic: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (N, S, S, 3) images of a mosaic."""
    size = mosaic.shape[1] // _ACROSS
    rows = mosaic.shape[0] // size
    tiles = mosaic.reshape(rows, size, _ACROSS, size, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(tiles.reshape(-1, size, size, 3))


def unpack(path: Path, recipes: Mapping[str, KitRecipe] = KITS) -> Kit:
    """Read a kit; raises `KitError` if it is damaged or of a recipe that is not in `recipes`."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = json.loads(archive.read("kit.json"))["kit"]
            if name not in recipes:
                raise KitError(f"{path} is the kit {name!r}, which is unknown to this version; pack it again")
            parts = {
                (source.name, split): _unpack_part(archive, source.name, split)
                for source in recipes[name].sources
                for split in (("train",) if source.foreign else ("train", "val"))
            }
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise KitError(f"{path} is not a kit, or it is damaged: {error}; pack it again") from error
    train = [part for (_, split), part in parts.items() if split == "train"]
    return Kit(
        recipes[name],
        train=concatenate([faces for faces, _, _ in train]),
        foreign=np.concatenate([foreign for _, foreign, _ in train]),
        weight=np.concatenate([weight for _, _, weight in train]),
        val={source: faces for (source, split), (faces, _, _) in parts.items() if split == "val"},
    )


def _unpack_part(
    archive: zipfile.ZipFile, source: str, split: str
) -> tuple[FaceData, NDArray[np.int64], NDArray[np.float32]]:
    with np.load(io.BytesIO(archive.read(f"{source}.{split}.npz"))) as stored:
        labels = {key: stored[key] for key in _LABELS}
    count = len(labels["male"])
    names = [f"{source}.{split}.{number:03}.webp" for number in range(-(-count // _ACROSS**2))]
    contents = [archive.read(name) for name in names]
    with ThreadPoolExecutor() as pool:
        images = np.concatenate(list(pool.map(_decoded, contents)))[:count]
    faces = FaceData(
        files=tuple(f"{source}/{index}" for index in range(count)),
        images=images,
        race=("",) * count,
        **{key: labels[key] for key in ("emotion", "votes", "majority", "male", "age")},
    )
    return faces, labels["foreign"], labels["weight"]


def _decoded(content: bytes) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError("an image of it cannot be decoded")
    return _tiles(np.asarray(image, np.uint8))
