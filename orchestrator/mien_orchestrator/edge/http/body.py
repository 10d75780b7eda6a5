"""The body of a request: its content types, its size limit, and reading it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Receive

from mien.errors import CallCancelledError, ImageError, InvalidRequestError
from mien_orchestrator.edge.http.multipart import file_of
from mien_orchestrator.edge.http.replies import HttpRequestError

FORM = "multipart/form-data"

_IMAGE_TYPES = re.compile(
    # curl declares a form with --data-binary
    r"|image/[\w.+-]+|(application|binary)/octet-stream|application/x-www-form-urlencoded",
    re.ASCII,
)
"""Content types of an image that is the body itself; the content alone decides which format it has."""

_FORM_OVERHEAD = 16 * 1024
"""Allowance for a form's boundaries and headers beside its file, in bytes."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a body has to be, for the errors of an empty and of a too large one."""

    name: str
    advice: str
    """What to send instead of an empty body."""
    prefix: str
    """Prefix of the reasons: `_EMPTY` and `_TOO_LARGE` follow."""

    def empty(self) -> InvalidRequestError:
        """Return the error of an empty body."""
        kind = ImageError if self.prefix == "IMAGE" else InvalidRequestError
        return kind(f"the {self.name} is empty; {self.advice}", reason=f"{self.prefix}_EMPTY")

    def too_large(self, max_bytes: int) -> HttpRequestError:
        """Return the error of a body above the limit: 413."""
        return HttpRequestError(
            f"the {self.name} is larger than this server's limit of {max_bytes:,} bytes; send a smaller one",
            reason=f"{self.prefix}_TOO_LARGE",
            http_status=413,
        )


IMAGE = Kind(
    "image", "send the bytes of an image file as the body, such as with curl --data-binary @photo.jpg", "IMAGE"
)


def check_declared(headers: Mapping[str, str], max_bytes: int) -> None:
    """Refuse a body that is not one image of at most `max_bytes` by its headers, before it is read.

    Raises:
        HttpRequestError: 413 or 415.
        ImageError: The body is empty.

    """
    kind = media_type(headers)
    if kind != FORM and not _IMAGE_TYPES.fullmatch(kind):
        raise HttpRequestError(
            f"the content type {kind[:80]!r} is not an image; send the bytes of an image file as the body "
            "(image/jpeg, application/octet-stream), not as base64 or JSON, or a form with the field 'file'",
            reason="CONTENT_TYPE_UNSUPPORTED",
            http_status=415,
        )
    check_length(headers, body_limit(kind, max_bytes), IMAGE, max_bytes)


def check_length(headers: Mapping[str, str], limit: int, what: Kind, shown: int | None = None) -> None:
    """Refuse by its headers a body that is empty, compressed, or longer than the limit.

    Args:
        headers: The request's headers.
        limit: The limit, in bytes.
        what: What the body has to be.
        shown: The limit in the message, if it differs.

    Raises:
        HttpRequestError: 413 or 415.
        InvalidRequestError: The body is empty.

    """
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise HttpRequestError(
            f"the content encoding {coding[:40]!r} is not supported; send the body uncompressed",
            reason="CONTENT_ENCODING_UNSUPPORTED",
            http_status=415,
        )
    length = headers.get("content-length")
    if length == "0" or (length is None and "transfer-encoding" not in headers):
        raise what.empty()
    if length is not None and int(length) > limit:
        raise what.too_large(shown or limit)


def media_type(headers: Mapping[str, str]) -> str:
    """Return the content type in lower case without its parameters; empty without the header."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def body_limit(kind: str, max_bytes: int) -> int:
    """Return the bytes that are read of a body with an image of at most `max_bytes`."""
    return max_bytes + _FORM_OVERHEAD if kind == FORM else max_bytes


async def read_image(receive: Receive, headers: Mapping[str, str], max_bytes: int) -> bytes:
    """Read a body up to the limit, and return the image in it.

    Raises:
        HttpRequestError: 413.
        InvalidRequestError: The form is invalid.
        ImageError: The image is empty.
        CallCancelledError: The client has left.

    """
    kind = media_type(headers)
    body = await read_body(receive, body_limit(kind, max_bytes), IMAGE, max_bytes)
    image = file_of(body, headers["content-type"]) if kind == FORM else body
    if not image:
        raise IMAGE.empty()
    if len(image) > max_bytes:
        raise IMAGE.too_large(max_bytes)
    return image


async def read_body(receive: Receive, limit: int, what: Kind, shown: int | None = None) -> bytes:
    """Return a body; raises `HttpRequestError` (413) above the limit, `CallCancelledError` if the client leaves."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallCancelledError("the client left during its upload")
        part: bytes = message.get("body", b"")
        if len(body) + len(part) > limit:
            raise what.too_large(shown or limit)
        complete = not message.get("more_body", False)
        if complete and not body:
            return part
        body += part
        if complete:
            return bytes(body)
