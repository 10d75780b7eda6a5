"""A published file's address in, the file on disk out: complete and verified, or an error."""

import hashlib
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError

from mien_models.catalog import Published
from mien_models.errors import ModelError

_TIMEOUT = 30.0
"""Seconds in which the server must answer, and go on answering."""
_LARGEST = 16 * 2**20
"""No published file has as many bytes; more are not read."""


def download(published: Published, path: Path, *, url: str | None = None) -> None:
    """Download a published file to `path`, from `url` or from where it was published.

    Raises `ModelError` where it cannot be had or is not the published one; `path` may then hold a part of it.
    """
    address = url or published.url
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as response:
            content = response.read(_LARGEST)
    except (OSError, HTTPException, ValueError) as error:
        raise ModelError(
            f"{published.name}: {address} cannot be had ({_reason(error)}); "
            f"get the file elsewhere and run `mien models import FILE --as {published.name}`"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != published.sha256:
        raise ModelError(
            f"{published.name}: {address} gave {len(content):,} bytes that are not the published file "
            f"(SHA-256 {digest} instead of {published.sha256}); nothing was kept"
        )
    path.write_bytes(content)


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()  # it is the response as well, with its connection
        return f"HTTP {error.code} {error.reason}"
    return str(error.reason if isinstance(error, URLError) else error) or type(error).__name__
