"""Download and verify published files."""

import hashlib
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError

from mien_models.catalog import Published
from mien_models.errors import ModelError

_TIMEOUT = 30.0
"""Timeout of the connection and of each read, in seconds."""
_LARGEST = 16 * 2**20
"""Maximum number of bytes that are read; larger than any published file."""


def download(published: Published, path: Path, *, url: str | None = None) -> None:
    """Download a published file to `path`, from `url` or its published address.

    Raises `ModelError` if the download fails or is not the published file; `path` may then contain a part of it.
    """
    address = url or published.url
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as response:
            content = response.read(_LARGEST)
    except (OSError, HTTPException, ValueError) as error:
        raise ModelError(
            f"{published.name}: cannot download {address} ({_reason(error)}); "
            f"get the file elsewhere and run `mien models import FILE --as {published.name}`"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != published.sha256:
        raise ModelError(
            f"{published.name}: {address} returned {len(content):,} bytes that are not the published file "
            f"(SHA-256 {digest} instead of {published.sha256}); nothing was saved"
        )
    path.write_bytes(content)


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()  # the error is also the response, with its connection
        return f"HTTP {error.code} {error.reason}"
    return str(error.reason if isinstance(error, URLError) else error) or type(error).__name__
