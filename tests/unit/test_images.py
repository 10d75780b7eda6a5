"""Tests of the SDK's image sources, and of their errors."""

import base64
import errno
import io
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import mien
from mien.images import MAX_BYTES, ImageSource, image_bytes, raw_image

COLOURS = np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)
GREY = COLOURS[:, :, 0]


def decoded(image: ImageSource) -> np.ndarray:
    with Image.open(io.BytesIO(image_bytes(image))) as opened:
        return np.asarray(opened)


def test_every_kind_of_source_becomes_an_image_file(tmp_path: Path) -> None:
    path = tmp_path / "colours.png"
    Image.fromarray(COLOURS).save(path)
    data = path.read_bytes()
    sources: list[ImageSource] = [str(path), path, data, bytearray(data), memoryview(data), io.BytesIO(data), COLOURS]
    for source in sources:
        assert np.array_equal(decoded(source), COLOURS)
    with path.open("rb") as file:
        assert image_bytes(file) == data
    with Image.open(path) as picture:
        assert np.array_equal(decoded(picture), COLOURS)


def test_grey_arrays_and_views_keep_their_pixels() -> None:
    assert np.array_equal(decoded(GREY), GREY)
    assert np.array_equal(decoded(COLOURS[::-1, ::2]), COLOURS[::-1, ::2])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pil_images_keep_their_mode(mode: str) -> None:
    picture = Image.fromarray(COLOURS).convert("L" if mode == "I;16" else mode).convert(mode)
    with Image.open(io.BytesIO(image_bytes(picture))) as read:
        assert read.convert("RGBA").tobytes() == picture.convert("RGBA").tobytes()


def test_pil_images_of_other_modes_become_rgb() -> None:
    for mode in ("CMYK", "YCbCr", "HSV", "LAB"):
        assert decoded(Image.new(mode, (8, 6))).shape == (6, 8, 3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_plain_pil_images_are_sent_as_pixels(mode: str) -> None:
    picture = Image.fromarray(COLOURS).convert(mode)
    raw = raw_image(picture)
    assert raw
    assert (raw.width, raw.height, raw.data) == (80, 60, picture.tobytes())


def test_pil_images_of_more_than_pixels_are_sent_as_files() -> None:
    turned, profiled, clear = (Image.fromarray(COLOURS) for _ in range(3))
    turned.getexif()[0x0112] = 6
    profiled.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    clear.info["transparency"] = (0, 0, 0)
    others = [Image.fromarray(COLOURS).convert(mode) for mode in ("P", "RGBA", "CMYK")]
    for picture in (turned, profiled, clear, *others):
        assert raw_image(picture) is None
        assert image_bytes(picture)


def test_an_empty_pil_image_is_refused_as_pixels_too() -> None:
    with pytest.raises(mien.ImageError):
        raw_image(Image.new("RGB", (0, 5)))


def test_a_pil_image_keeps_its_orientation(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOURS).save(path, exif=exif)
    with Image.open(path) as picture, Image.open(io.BytesIO(image_bytes(picture))) as sent:
        assert sent.getexif()[0x0112] == 6


@pytest.mark.parametrize("picture", [Image.new("RGB", (0, 5)), Image.new("F", (5, 5))], ids=["empty", "floats"])
def test_a_pil_image_without_pixels_of_whole_numbers_is_refused(picture: Image.Image) -> None:
    with pytest.raises(mien.ImageError, match="PIL image"):
        image_bytes(picture)


def test_a_damaged_file_that_pil_reads_late_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(COLOURS).save(path)
    path.write_bytes(path.read_bytes()[:200])
    for read in (image_bytes, raw_image):
        with Image.open(path) as picture, pytest.raises(mien.ImageError, match="cannot be read"):
            read(picture)


BASE64 = base64.b64encode(os.urandom(6_000)).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.com/photo.jpg?key=" + "s" * 500, "https: URLs are not read"),
        ("file:///tmp/photo.jpg", "file: URLs are not read"),
        ("data:image/png;base64," + BASE64, "data: URLs are not read"),
        (BASE64, "decode base64 first"),
        (BASE64[:200], "decode base64 first"),
        ("x" * 5_000 + ".jpg", "File name too long"),
        ("a/" * 3_000 + "photo.jpg", "File name too long"),
        ("missing.jpg", "missing.jpg: no such file"),
        ("null\0byte.jpg", "null"),
        ("", "directory"),
        (".", "directory"),
    ],
    ids=["url", "file url", "data url", "base64", "short base64", "name", "path", "missing", "null", "empty", "folder"],
)  # fmt: skip
def test_text_that_is_no_file_gets_one_short_clear_line(text: str, expected: str) -> None:
    with pytest.raises(mien.ImageError) as caught:
        image_bytes(text)
    assert expected in caught.value.message
    assert len(caught.value.message) < 250
    assert "\n" not in caught.value.message
    assert caught.value.reason == "IMAGE_UNREADABLE"


@pytest.mark.parametrize("value", [None, 5, ["photo.jpg"], object(), b"x".hex])
def test_other_types_are_refused_with_what_is_accepted(value: object) -> None:
    with pytest.raises(mien.ImageError, match="an image is a path, bytes, a binary file, a PIL image or a uint8 array"):
        image_bytes(value)  # type: ignore[arg-type]


def test_files_that_are_closed_or_opened_as_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    with path.open() as text, pytest.raises(mien.ImageError, match="mode 'rb'"):
        image_bytes(text)  # type: ignore[arg-type]
    with path.open("rb") as file:
        pass
    with pytest.raises(mien.ImageError, match="closed file"):
        image_bytes(file)


def test_a_file_over_the_limit_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "sparse.jpg"
    with path.open("wb") as file:
        file.truncate(3 * 2**30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    errors: list[str] = []

    def read() -> None:
        with pytest.raises(mien.ImageError) as caught:
            image_bytes(path)
        errors.append(caught.value.reason)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == ["IMAGE_TOO_LARGE"] * 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024  # KiB


def test_a_device_without_an_end_is_read_up_to_the_limit() -> None:
    with pytest.raises(mien.ImageError, match="/dev/zero has more than 256 MiB, the limit") as caught:
        image_bytes("/dev/zero")
    assert caught.value.reason == "IMAGE_TOO_LARGE"


def test_pixels_over_the_limit_are_refused_before_they_are_encoded() -> None:
    wide = np.broadcast_to(np.zeros(3, np.uint8), (20_000, 20_000, 3))
    assert wide.nbytes > MAX_BYTES
    with pytest.raises(mien.ImageError, match="the array has") as caught:
        image_bytes(wide)
    assert caught.value.reason == "IMAGE_TOO_LARGE"


def test_too_many_open_files_are_not_the_images_fault() -> None:
    code = """
import os, resource, sys, mien
from mien.images import image_bytes
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), 64))
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
except OSError:
    pass
try:
    image_bytes(sys.executable)
except mien.MienError as error:
    print(type(error).__name__, error)
"""
    expected = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert expected.stdout.startswith("FileError cannot read"), expected
    assert os.strerror(errno.EMFILE).lower() in expected.stdout
    assert not issubclass(mien.FileError, mien.InvalidRequestError)
