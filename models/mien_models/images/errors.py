"""The error of images that cannot be used, and its messages."""

from typing import Literal

from mien_models.images.formats import FORMATS

Reason = Literal["IMAGE_EMPTY", "IMAGE_UNDECODABLE", "IMAGE_TOO_LARGE", "IMAGE_TOO_COMPLEX", "IMAGE_FORMAT_UNSUPPORTED"]


class ImageError(ValueError):
    """The image cannot be used. The message states the problem and the remedy."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def unsupported(what: str) -> ImageError:
    """Return the error for `what`, such as `PDF files are`."""
    return ImageError(
        "IMAGE_FORMAT_UNSUPPORTED", f"{what} not supported. Send one of {', '.join(FORMATS)}, 8 or 16 bit."
    )


def undecodable() -> ImageError:
    """Return the error for bytes that are not a complete image file."""
    return ImageError(
        "IMAGE_UNDECODABLE",
        f"The bytes are not a complete image file. Send a whole {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file.",
    )
