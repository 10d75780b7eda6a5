"""Tests that expensive files are rejected by their header, and that decoding stays within a memory budget."""

import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hostile_images import WEBP_BOMB, png
from mien_models.images import header
from mien_models.images.decode import decode, peak_bytes
from mien_models.images.errors import ImageError
from mien_models.images.limits import ImageLimits as Limits
from mien_models.images.memory import PixelBudget
from tests.photographs import EXAMPLE
from tests.profiles import swapped


def reason(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(ImageError) as refused:
        decode(data, limits)
    return refused.value.reason


def test_a_webp_is_refused_for_the_size_in_its_header() -> None:
    assert header.webp_size(WEBP_BOMB) == (16_383, 16_383)
    assert reason(WEBP_BOMB) == "IMAGE_TOO_LARGE"


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"quality": 80, "exif": b"Exif\0\0"}])
def test_the_size_of_a_webp_is_read_from_its_header(options: dict[str, object]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (301, 77)).save(buffer, "WEBP", **options)
    assert header.webp_size(buffer.getvalue()) == (301, 77)


def test_a_side_is_bounded() -> None:
    assert reason(png(1, 70_000)) == "IMAGE_TOO_LARGE"


MEASURE = """
import sys
from mien_models.images.decode import decode, peak_bytes
from mien_models.images.limits import ImageLimits

def resident(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

small, data = (sys.stdin.buffer.read(int(size)) for size in sys.argv[1:])
decode(small)  # loads the libraries, which do not count
before = resident("VmRSS")
decode(data)
print(resident("VmHWM") - before, peak_bytes(data, ImageLimits()))
"""


FIXED = 2**20
"""Bytes that the libraries and the allocator take for a picture of any size."""


def turned(size: tuple[int, int], kind: str, mode: str = "RGB", **options: Any) -> bytes:
    """Return a picture that must be turned and converted to sRGB, which costs the most memory."""
    picture = Image.new("RGBA", size, (0, 90, 90, 128))
    picture.paste((200, 10, 10, 255), (0, 0, size[0] // 2, size[1] // 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    picture.convert(mode).save(buffer, kind, exif=exif, icc_profile=swapped(), **options)
    return buffer.getvalue()


MEMORY: dict[str, Callable[[tuple[int, int]], bytes]] = {
    "png": lambda size: png(*size),
    "png_turned": lambda size: turned(size, "PNG", compress_level=1),
    "png_transparent": lambda size: turned(size, "PNG", "RGBA", compress_level=1),
    "jpeg": lambda size: turned(size, "JPEG", subsampling=0),
    "jpeg_progressive": lambda size: turned(size, "JPEG", subsampling=0, progressive=True),
    "jpeg_cmyk": lambda size: turned(size, "JPEG", "CMYK"),
    "jpeg_cmyk_progressive": lambda size: turned(size, "JPEG", "CMYK", progressive=True),
    "webp": lambda size: turned(size, "WEBP", quality=50, method=0),
    "webp_transparent": lambda size: turned(size, "WEBP", "RGBA", quality=50, method=0),
    "webp_lossless": lambda size: turned(size, "WEBP", "RGBA", lossless=True, quality=0, method=0),
    "webp_animated": lambda size: turned(
        size, "WEBP", "RGBA", method=0, save_all=True, append_images=[Image.new("RGBA", size)]
    ),
    "tiff": lambda size: turned(size, "TIFF", "RGBA", compression="tiff_lzw"),
}


@pytest.mark.parametrize("name", MEMORY)
def test_decoding_takes_no_more_memory_than_stated(name: str) -> None:
    small, large = MEMORY[name]((330, 300)), MEMORY[name]((3300, 3000))
    command = [sys.executable, "-c", MEASURE, str(len(small)), str(len(large))]
    run = subprocess.run(command, input=small + large, capture_output=True, check=True)
    taken, stated = map(int, run.stdout.split())
    assert 0.2 * stated < taken < stated + FIXED


def test_a_budget_is_shared_and_returned() -> None:
    budget, order = PixelBudget(100), list[str]()
    first_in, first_out = threading.Event(), threading.Event()

    def first() -> None:
        with budget.reserve(80, deadline=time.monotonic() + 30) as waited:
            assert waited == 0
            first_in.set()
            first_out.wait(30)
            order.append("first")

    def second() -> None:
        first_in.wait(30)
        with budget.reserve(50, deadline=time.monotonic() + 30) as waited:
            assert waited is not None
            order.append("second")

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    first_in.wait(30)
    with budget.reserve(20, deadline=time.monotonic()) as fits:
        assert fits == 0
    with budget.reserve(50, deadline=time.monotonic()) as late:
        assert late is None
    with budget.reserve(50, deadline=time.monotonic() + 30, cancelled=lambda: True) as cancelled:
        assert cancelled is None
    first_out.set()
    for thread in threads:
        thread.join()
    assert order == ["first", "second"]


def test_the_wait_for_a_budget_is_measured() -> None:
    budget, waits = PixelBudget(100), list[float | None]()
    waiting = threading.Event()

    def cancelled() -> bool:  # called only of a caller that must wait
        waiting.set()
        return False

    def second() -> None:
        with budget.reserve(50, deadline=time.monotonic() + 30, cancelled=cancelled) as waited:
            waits.append(waited)

    thread = threading.Thread(target=second)
    with budget.reserve(80, deadline=time.monotonic() + 30):
        thread.start()
        assert waiting.wait(30)
    thread.join()
    (waited,) = waits
    assert waited is not None
    assert 0 < waited < 30


def test_an_image_larger_than_the_budget_is_decoded_alone() -> None:
    with PixelBudget(10).reserve(1000, deadline=time.monotonic()) as waited:
        assert waited == 0


def test_the_peak_is_known_from_the_header() -> None:
    data = EXAMPLE.read_bytes()
    assert peak_bytes(data, Limits()) == 512 * 512 * 7 + 2 * len(data)
    with pytest.raises(ImageError):
        peak_bytes(b"", Limits())
    assert np.isfinite(peak_bytes(png(10, 10), Limits()))
