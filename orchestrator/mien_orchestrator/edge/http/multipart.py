"""The one file of a form (`multipart/form-data`, RFC 7578), from a body that has been read within its limit."""

import re

from mien.errors import InvalidRequestError

FIELD = "file"
"""Name of the form's field with the image."""

_BOUNDARY = re.compile(r"""(?:^|;)\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)""", re.IGNORECASE)
_NAME = re.compile(r"""(?:^|;)\s*name=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))""", re.IGNORECASE)

_MAX_HEADERS = 8192
"""Bytes of one part's headers."""

_MAX_PARTS = 16


def file_of(body: bytes, content_type: str) -> bytes:
    """Return the bytes of the form's file.

    Args:
        body: The form.
        content_type: Its content type, with the boundary.

    Raises:
        InvalidRequestError: It is not a form, or has not exactly one part, named `file`.

    """
    found = _BOUNDARY.search(content_type)
    if not found:
        raise _invalid("its content type has no boundary; let the HTTP library set the header")
    parts = _parts(body, b"--" + (found[1] or found[2]).encode("latin-1"))
    files = [content for name, content in parts if name == FIELD]
    if len(files) == 1 and len(parts) == 1:
        return files[0]
    if len(files) > 1:
        raise InvalidRequestError(
            f"the form has {len(files)} files; send one image per request", reason="FORM_HAS_SEVERAL_FILES"
        )
    names = ", ".join(repr(name[:40]) for name, _ in parts if name != FIELD) or "none"
    raise _invalid(f"it has one field, {FIELD!r}, with the image, and options in the query; other fields: {names}")


def _parts(body: bytes, delimiter: bytes) -> list[tuple[str, bytes]]:
    """Return name and content of each part."""
    parts: list[tuple[str, bytes]] = []
    start = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if start < 2 and not body.startswith(delimiter):
        raise _invalid("its boundary is not in the body")
    while True:
        start += len(delimiter)
        if body.startswith(b"--", start):
            return parts
        start = _skip_line_end(body, start)
        end = body.find(b"\r\n" + delimiter, start)
        if end < 0:
            raise _invalid("it ends in the middle of a part")
        if len(parts) == _MAX_PARTS:
            raise _invalid(f"it has more than {_MAX_PARTS} parts")
        parts.append(_part(body, start, end))
        start = end + 2


def _skip_line_end(body: bytes, start: int) -> int:
    while body[start : start + 1] in (b" ", b"\t"):  # transport padding
        start += 1
    if not body.startswith(b"\r\n", start):
        raise _invalid("a boundary is not at the end of its line")
    return start + 2


def _part(body: bytes, start: int, end: int) -> tuple[str, bytes]:
    blank = body.find(b"\r\n\r\n", start, min(end, start + _MAX_HEADERS))
    if blank < 0:
        raise _invalid("a part has no headers")
    for line in body[start:blank].decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        name = _NAME.search(value)
        if key.strip().lower() == "content-disposition" and name:
            return name[1] if name[1] is not None else name[2], body[blank + 4 : end]
    raise _invalid("a part has no name")


def _invalid(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"the form is invalid: {why}", reason="FORM_INVALID")
