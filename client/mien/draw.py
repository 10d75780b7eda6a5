"""Draw an analysis over its image."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from mien.errors import ImageError
from mien.images import ImageSource, image_bytes
from mien.types.analysis import Analysis
from mien.types.face import Face

try:
    import pillow_heif
except ImportError:
    pass  # HEIC then raises an ImageError
else:
    pillow_heif.register_heif_opener()

_COLOURS = {"female": (255, 170, 60), "male": (80, 200, 255)}
_UNKNOWN = (230, 230, 230)
_INK = (20, 20, 20)


def draw(image: ImageSource, analysis: Analysis) -> NDArray[np.uint8]:
    """Draw the boxes, landmarks and estimates of an analysis over its image.

    Args:
        image: The image that was analyzed, in any form that `Client.analyze` accepts.
        analysis: The reply for it.

    Returns:
        The upright image with its faces marked, (H, W, 3) uint8 RGB.

    Raises:
        ImageError: Pillow cannot read the image, such as HEIC without `pillow-heif`.

    """
    picture = _picture(image_bytes(image))
    pen = ImageDraw.Draw(picture)
    for face in analysis.faces:
        _draw_face(pen, face, picture.size)
    for face in reversed(analysis.faces):  # over all boxes, larger faces' labels on top
        _draw_label(pen, face, picture.size)
    return np.asarray(picture)


def _picture(data: bytes) -> Image.Image:
    """Decode an image as the server does: upright, 16 bits scaled to 8, transparency over white."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I;16"):
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            if picture.has_transparency_data:
                rgba = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
            return picture.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError("the image cannot be drawn on: Pillow cannot decode it", reason="IMAGE_UNREADABLE") from error


def _draw_face(pen: ImageDraw.ImageDraw, face: Face, size: tuple[int, int]) -> None:
    box = face.box
    colour = _colour(face)
    line = max(2, round(max(size) / 500))
    pen.rectangle((box.x, box.y, box.x + box.width, box.y + box.height), outline=colour, width=line)
    if face.landmarks:
        marks = face.landmarks
        for point in (marks.right_eye, marks.left_eye, marks.nose, marks.right_mouth_corner, marks.left_mouth_corner):
            pen.ellipse((point.x - line, point.y - line, point.x + line, point.y + line), fill=colour)


def _colour(face: Face) -> tuple[int, int, int]:
    return _COLOURS.get(face.gender.value, _UNKNOWN) if face.gender else _UNKNOWN


def _label(face: Face) -> str:
    if face.abstained:
        return face.abstention
    lines = []
    if face.gender or face.age:
        gender = face.gender.value if face.gender else ""
        lines.append(f"{gender} {face.age.years:.0f}".strip() if face.age else gender)
    if face.emotion:
        lines.append(f"{face.emotion.label} {face.emotion.probability:.0%}")
    return "\n".join(lines)


def _draw_label(pen: ImageDraw.ImageDraw, face: Face, size: tuple[int, int]) -> None:
    """Write the estimates under the box, or above it at the bottom edge, and always inside the image."""
    text = _label(face)
    if not text:
        return
    height = min(max(11.0, face.box.height / 7, max(size) / 90), max(size) / 30)
    font = ImageFont.load_default(size=height)
    _, _, right, bottom = pen.multiline_textbbox((0, 0), text, font=font)
    width, tall = right + 6, bottom + 6
    x = min(max(0.0, face.box.x), max(0.0, size[0] - width))
    y = face.box.y + face.box.height
    if y + tall > size[1]:
        y = max(0.0, face.box.y - tall)
    pen.rectangle((x, y, x + width, y + tall), fill=_colour(face))
    pen.multiline_text((x + 3, y + 2), text, fill=_INK, font=font)
