"""Draw the results of an analysis on its image."""

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from mien.drawing.label_layout import Rectangles, place_labels
from mien.errors import ImageError
from mien.images import ImageSource, image_bytes
from mien.pixels import Color
from mien.types.analysis import Analysis
from mien.types.face import Face

try:
    import pillow_heif
except ImportError:
    pass  # HEIC files are then rejected with a message
else:
    pillow_heif.register_heif_opener()

_COLOURS = {"female": (255, 170, 60), "male": (80, 200, 255)}
_UNKNOWN = (230, 230, 230)
_INK = (20, 20, 20)

LEGEND_FROM = 10
"""Number of faces from which an annotated image has numbers at the faces and a legend below."""

SMALLEST_SIDE, LARGEST_SIDE = 480, 3000
"""Bounds of the longer side of an annotated image, in pixels."""

_START_OF_JPEG, _END_OF_JPEG = b"\xff\xd8", b"\xff\xd9"

_MARKS_FROM = 24
"""Smallest width of a face whose landmarks are drawn, in drawn pixels."""


def draw(image: ImageSource, analysis: Analysis, *, color: Color = "rgb") -> NDArray[np.uint8]:
    """Draw the boxes, landmarks and estimates of an analysis on its image.

    Args:
        image: The image that was analyzed, in any form that `Client.analyze` accepts.
        analysis: The reply for it.
        color: Layout of an array, as in `Client.analyze`. The result is RGB in any case.

    Returns:
        The upright image in its own size with its faces marked, (H, W, 3) uint8 RGB.

    Raises:
        ImageError: Pillow cannot read the image, such as HEIC without `pillow-heif`.

    """
    picture, _ = _picture(image_bytes(image, color), None)
    boxes = _boxes(analysis, 1.0)
    _draw_faces(picture, analysis.faces, boxes, 1.0)
    _draw_labels(picture, analysis.faces, boxes, [_label(face) for face in analysis.faces])
    return np.asarray(picture)


def annotated_picture(image: ImageSource, analysis: Analysis) -> Image.Image:
    """Draw as `draw` does, on an image that is scaled for viewing; crowds have a legend.

    Returns:
        An RGB picture; the longer side of the photograph in it is `SMALLEST_SIDE` to `LARGEST_SIDE` pixels.

    Raises:
        ImageError: Pillow cannot read the picture (HEIC without `pillow-heif`).

    """
    picture, scale = _picture(image_bytes(image), LARGEST_SIDE)
    if analysis.faces and max(picture.size) < SMALLEST_SIDE:
        factor = -(-SMALLEST_SIDE // max(picture.size))
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.LANCZOS)
        scale *= factor
    boxes = _boxes(analysis, scale)
    labels = [_label(face) for face in analysis.faces]
    crowd = len(labels) >= LEGEND_FROM
    _draw_faces(picture, analysis.faces, boxes, scale)
    _draw_labels(picture, analysis.faces, boxes, [str(i + 1) for i in range(len(labels))] if crowd else labels)
    if not crowd:
        return picture
    rows = [
        (f"{index + 1}  {label.replace(chr(10), ', ')}", _colour(face))
        for index, (label, face) in enumerate(zip(labels, analysis.faces, strict=True))
    ]
    return add_legend(picture, rows)


def add_legend(picture: Image.Image, rows: Sequence[tuple[str, tuple[int, int, int]]]) -> Image.Image:
    """Return the picture with rows of text and their colours in columns below it."""
    font = ImageFont.load_default(size=min(max(13.0, picture.width / 75), 36.0))
    tall = math.ceil(font.getbbox("Ay")[3] * 1.35)
    wide = math.ceil(max(font.getlength(text) for text, _ in rows)) + 2 * tall
    columns = max(1, picture.width // wide)
    lines = math.ceil(len(rows) / columns)
    width = max(picture.width, wide)
    whole = Image.new("RGB", (width, picture.height + lines * tall + tall // 2), (250, 250, 250))
    whole.paste(picture, ((width - picture.width) // 2, 0))
    pen = ImageDraw.Draw(whole)
    for index, (text, colour) in enumerate(rows):
        x = index // lines * (width // columns) + tall // 4
        y = picture.height + tall // 4 + index % lines * tall
        pen.rectangle((x, y + tall // 6, x + tall * 2 // 3, y + tall * 5 // 6), fill=colour)
        pen.text((x + tall, y), text, fill=_INK, font=font)
    return whole


def _picture(data: bytes, largest: int | None) -> tuple[Image.Image, float]:
    """Decode an image as the server does: upright, 16 bits scaled to 8, transparency over white, missing rows grey.

    Returns:
        The RGB image, with a longer side of at most `largest` pixels, and its scale relative to the original.

    """
    try:
        try:
            return _decoded(data, largest)
        except OSError:  # a JPEG that is cut short is decoded as far as it goes if it has an end marker
            if not data.startswith(_START_OF_JPEG):
                raise
            return _decoded(data + _END_OF_JPEG, largest)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError("cannot draw on the image: Pillow cannot decode it", reason="IMAGE_UNREADABLE") from error


def _decoded(data: bytes, largest: int | None) -> tuple[Image.Image, float]:
    with Image.open(io.BytesIO(data)) as opened:
        longest = max(opened.size)
        if largest and longest > largest:
            wanted = (opened.width * largest // longest, opened.height * largest // longest)
            opened.draft(None, wanted)  # a JPEG is decoded at half its size if that is enough
            opened.thumbnail((largest, largest), reducing_gap=None)
        picture = ImageOps.exif_transpose(opened)
        if picture.mode.startswith("I;16"):
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        if picture.has_transparency_data:
            rgba = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return picture.convert("RGB"), max(picture.size) / longest


def _boxes(analysis: Analysis, scale: float) -> Rectangles:
    """Return (N, 4) left, top, right, bottom in pixels of the drawn picture."""
    boxes = [
        (face.box.x, face.box.y, face.box.x + face.box.width, face.box.y + face.box.height) for face in analysis.faces
    ]
    return np.array(boxes, dtype=float).reshape(-1, 4) * scale


def _draw_faces(picture: Image.Image, faces: Sequence[Face], boxes: Rectangles, scale: float) -> None:
    pen = ImageDraw.Draw(picture)
    for face, (left, top, right, bottom) in zip(faces, boxes, strict=True):
        colour = _colour(face)
        line = max(1, round(min(max(picture.size) / 400, (bottom - top) / 25)))
        pen.rectangle((left, top, right, bottom), outline=colour, width=line)
        if face.landmarks and right - left >= _MARKS_FROM:
            marks = face.landmarks
            dot = max(1.0, min(line, (right - left) / 60))
            for point in (
                marks.right_eye,
                marks.left_eye,
                marks.nose,
                marks.right_mouth_corner,
                marks.left_mouth_corner,
            ):
                x, y = point.x * scale, point.y * scale
                pen.ellipse((x - dot, y - dot, x + dot, y + dot), fill=colour)


def _colour(face: Face) -> tuple[int, int, int]:
    return _COLOURS.get(face.gender.value, _UNKNOWN) if face.gender else _UNKNOWN


def _label(face: Face) -> str:
    if face.abstained:
        return face.abstention
    lines = []
    if face.gender or face.age:
        lines.append(_gender_and_age(face))
    if face.emotion:
        lines.append(f"{face.emotion.label} {face.emotion.probability:.0%}")
    return "\n".join(lines)


def _gender_and_age(face: Face) -> str:
    gender = face.gender.value if face.gender else ""
    if gender == "uncertain":
        return f"gender uncertain{f', {face.age.years:.0f}' if face.age else ''}"
    return f"{gender} {face.age.years:.0f}".strip() if face.age else gender


def _draw_labels(picture: Image.Image, faces: Sequence[Face], boxes: Rectangles, labels: Sequence[str]) -> None:
    """Draw each label beside its face, with a line to the face if they do not touch."""
    pen = ImageDraw.Draw(picture)
    shown = [index for index, label in enumerate(labels) if label]
    side = max(picture.size)
    heights = [min(max(11.0, (boxes[i][3] - boxes[i][1]) / 7, side / 90), max(11.0, side / 30)) for i in shown]
    fonts = [ImageFont.load_default(size=height) for height in heights]
    bounds = [pen.multiline_textbbox((0, 0), labels[i], font=font) for i, font in zip(shown, fonts, strict=True)]
    sizes = [(right + 6, bottom + 6) for _, _, right, bottom in bounds]
    places = place_labels(sizes, boxes[shown], np.delete(boxes, shown, axis=0), picture.width, picture.height)
    for index, place in zip(shown, places, strict=True):
        _draw_line(pen, boxes[index], place, _colour(faces[index]))
    for index, font, (x, y, right, bottom) in zip(shown, fonts, places, strict=True):
        pen.rectangle((x, y, right, bottom), fill=_colour(faces[index]))
        pen.multiline_text((x + 3, y + 2), labels[index], fill=_INK, font=font)


def _draw_line(
    pen: ImageDraw.ImageDraw, box: NDArray[np.float64], place: NDArray[np.float64], colour: tuple[int, int, int]
) -> None:
    x = np.clip((place[0] + place[2]) / 2, box[0], box[2])
    y = np.clip((place[1] + place[3]) / 2, box[1], box[3])
    ends = (np.clip(x, place[0], place[2]), np.clip(y, place[1], place[3]))
    if np.hypot(ends[0] - x, ends[1] - y) > 1:
        pen.line((x, y, *ends), fill=colour, width=1 + round(np.hypot(*(place[2:] - place[:2])) / 100))
