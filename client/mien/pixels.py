"""NumPy arrays as images: check their shape, send them as raw pixels, convert them to RGB."""

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from mien.errors import ImageError, InvalidRequestError
from mien.v1 import face_service_pb2 as pb

Color: TypeAlias = Literal["rgb", "bgr", "nv12"]
"""Layout of an array: `rgb` or `bgr`, (H, W, 3), both also (H, W) grey; `nv12`, (H * 3 / 2, W): H rows of Y, then H / 2
rows of interleaved U and V (BT.601, limited range), H and W even."""

_FORMATS: dict[Color, pb.PixelFormat.ValueType] = {
    "rgb": pb.PIXEL_FORMAT_RGB,
    "bgr": pb.PIXEL_FORMAT_BGR,
    "nv12": pb.PIXEL_FORMAT_NV12,
}

_SHAPES: dict[Color, str] = {
    "rgb": "(H, W, 3) uint8 RGB or (H, W) uint8 grey",
    "bgr": "(H, W, 3) uint8 BGR or (H, W) uint8 grey",
    "nv12": "(H * 3 / 2, W) uint8 NV12 with even H and W",
}

_STRIP = 256
"""Rows of an NV12 image that are converted at a time, to bound the memory of intermediate floats."""


def check_color(color: Color, *, is_array: bool) -> None:
    """Validate the layout of an image's pixels.

    Raises:
        InvalidRequestError: the layout is unknown, or is given for an image that is not an array.

    """
    if color not in get_args(Color):
        raise InvalidRequestError(
            f"color must be one of {', '.join(map(repr, get_args(Color)))}, not {color!r:.80}",
            reason="OPTION_OUT_OF_RANGE",
        )
    if color != "rgb" and not is_array:
        raise InvalidRequestError(
            f"color={color!r} is for NumPy arrays; files and PIL images have their own format",
            reason="OPTION_OUT_OF_RANGE",
        )


def check_array(array: NDArray[np.uint8], color: Color = "rgb") -> NDArray[np.uint8]:
    """Validate an array and return it in C order.

    Raises:
        ImageError: its shape or type is not that of the layout.

    """
    shape = array.shape
    if color == "nv12":
        right = array.ndim == 2 and shape[0] % 3 == 0 and shape[1] % 2 == 0
    else:
        right = array.ndim >= 2 and shape[2:] in ((), (3,))
    if array.dtype != np.uint8 or array.size == 0 or not right:
        raise ImageError(
            f"an image array must be {_SHAPES[color]}, not {shape} {array.dtype}{_advice(array, color)}",
            reason="IMAGE_UNREADABLE",
        )
    return np.ascontiguousarray(array)


def _advice(array: NDArray[np.uint8], color: Color) -> str:
    if array.ndim == 3 and array.shape[2] == 4:
        return "; remove the alpha channel: array[:, :, :3]"
    if array.ndim == 3 and color == "nv12":
        return "; pass color='rgb' or 'bgr'"
    return ""


def raw_message(array: NDArray[np.uint8], color: Color = "rgb") -> pb.RawImage:
    """Return a checked array as a message of raw pixels."""
    if color == "nv12":
        height = len(array) // 3 * 2
        return pb.RawImage(format=_FORMATS[color], width=array.shape[1], height=height, data=array.tobytes())
    kind = _FORMATS[color] if array.ndim == 3 else pb.PIXEL_FORMAT_GRAY
    return pb.RawImage(format=kind, width=array.shape[1], height=array.shape[0], data=array.tobytes())


def to_rgb(array: NDArray[np.uint8], color: Color) -> NDArray[np.uint8]:
    """Convert a checked array to (H, W, 3) uint8 RGB; a grey one, (H, W), is returned as it is."""
    if color == "nv12":
        return _nv12_to_rgb(array)
    return np.ascontiguousarray(array[:, :, ::-1]) if color == "bgr" and array.ndim == 3 else array


def _nv12_to_rgb(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert by ITU-R BT.601, limited range, each chroma sample for 2 x 2 pixels, as the server does."""
    height, width = len(array) // 3 * 2, array.shape[1]
    chroma = array[height:].reshape(height // 2, width // 2, 2)
    rgb = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP):
        luma = 1.164383 * (np.maximum(array[top : min(top + _STRIP, height)], 16).astype(np.float32) - 16)
        u, v = np.moveaxis(chroma[top // 2 : top // 2 + len(luma) // 2].astype(np.float32) - 128, 2, 0)
        offsets = (1.596027 * v, -0.391762 * u - 0.812968 * v, 2.017232 * u)
        for channel, offset in enumerate(offsets):
            value = luma + offset.repeat(2, axis=0).repeat(2, axis=1)
            rgb[top : top + len(luma), :, channel] = np.rint(value).clip(0, 255)
    return rgb
