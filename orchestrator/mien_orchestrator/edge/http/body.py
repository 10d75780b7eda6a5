"""The body of a request: what it may be, and how much of it is read."""

import re
from collections.abc import Mapping

from starlette.types import Receive

from mien.errors import CallCancelledError, ImageError
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


def check_declared(headers: Mapping[str, str], max_bytes: int) -> None:
    """Refuse by its headers a body that is not one image of at most `max_bytes`, before anything of it is read.

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
    check_length(headers, body_limit(kind, max_bytes), max_bytes)


def check_length(headers: Mapping[str, str], limit: int, shown: int | None = None) -> None:
    """Refuse by its headers a body that is empty, compressed, or longer than the limit.

    Args:
        headers: The request's headers.
        limit: The limit, in bytes.
        shown: The limit for people, if that is another one.

    Raises:
        HttpRequestError: 413 or 415.
        ImageError: The body is empty.

    """
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise HttpRequestError(
            f"the content encoding {coding[:40]!r} is not supported; image files are compressed already",
            reason="CONTENT_ENCODING_UNSUPPORTED",
            http_status=415,
        )
    length = headers.get("content-length")
    if length == "0" or (length is None and "transfer-encoding" not in headers):
        raise _empty()
    if length is not None and int(length) > limit:
        raise _too_large(shown or limit)


def media_type(headers: Mapping[str, str]) -> str:
    """Return the content type without its parameters, in lower case; empty if there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def body_limit(kind: str, max_bytes: int) -> int:
    """Return the bytes that are read of a body with an image of at most `max_bytes`."""
    return max_bytes + _FORM_OVERHEAD if kind == FORM else max_bytes


async def read_image(receive: Receive, headers: Mapping[str, str], max_bytes: int) -> bytes:
    """Return the image in a body, of which no more than the limit is read.

    Raises:
        HttpRequestError: 413.
        InvalidRequestError: The form is invalid.
        ImageError: The image is empty.
        CallCancelledError: The client has left.

    """
    kind = media_type(headers)
    body = await read_body(receive, body_limit(kind, max_bytes), max_bytes)
    image = file_of(body, headers["content-type"]) if kind == FORM else body
    if not image:
        raise _empty()
    if len(image) > max_bytes:
        raise _too_large(max_bytes)
    return image


async def read_body(receive: Receive, limit: int, shown: int | None = None) -> bytes:
    """Return a body; raises `HttpRequestError` (413) above the limit, `CallCancelledError` if the client leaves."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallCancelledError("the client left during its upload")
        part: bytes = message.get("body", b"")
        if len(body) + len(part) > limit:
            raise _too_large(shown or limit)
        complete = not message.get("more_body", False)
        if complete and not body:
            return part
        body += part
        if complete:
            return bytes(body)


def _empty() -> ImageError:
    return ImageError(
        "the image is empty; send the bytes of an image file as the body, such as with curl --data-binary @photo.jpg",
        reason="IMAGE_EMPTY",
    )


def _too_large(max_bytes: int) -> HttpRequestError:
    return HttpRequestError(
        f"the image is larger than this server's limit of {max_bytes:,} bytes; send a smaller one",
        reason="IMAGE_TOO_LARGE",
        http_status=413,
    )
