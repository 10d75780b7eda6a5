"""The current key set of an issuer, from a file or a URL."""

import asyncio
import logging
import math
import time
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from mien.errors import ServerUnavailableError, SettingsError
from mien.version import __version__
from mien_orchestrator.edge.auth.jwt.key_set import KeySet
from mien_orchestrator.file_watch import WatchedFiles

_LOG = logging.getLogger(__name__)

REFRESH_SECONDS = 300.0
"""Age at which a fetched key set is fetched again, in the background."""

MAX_AGE_SECONDS = 24 * 3600.0
"""Age from which a fetched key set is not used any more: a key that was revoked must not be valid for ever."""

MIN_INTERVAL_SECONDS = 10.0
"""Least time between two fetches, however many tokens have unknown keys."""

_FETCH_SECONDS = 5.0
_MAX_BYTES = 2**20
_CHUNK = 2**16


class KeySource(Protocol):
    """Provides the current key set."""

    async def current(self) -> KeySet:
        """Return the key set; raises `ServerUnavailableError` without one."""

    async def renewed(self) -> KeySet:
        """Return the key set, read again if that is due, for a token whose key is unknown."""

    def start(self) -> None:
        """Begin to fetch; needs a running event loop."""

    def close(self) -> None:
        """Stop fetching."""


class FileKeys:
    """A key set in a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises `SettingsError`."""
        self._path = path
        self._watched = WatchedFiles([path])
        self._keys = self._read()

    async def current(self) -> KeySet:
        """Return the key set; if the changed file is invalid, the previous one."""
        if self._watched.changed():
            try:
                self._keys = self._read()
            except SettingsError as error:
                _LOG.error("the new key set is invalid, keeping the previous keys: %s", error)
        return self._keys

    async def renewed(self) -> KeySet:
        """Return the key set."""
        return await self.current()

    def start(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def _read(self) -> KeySet:
        try:
            return KeySet.parse(self._path.read_bytes())
        except OSError as error:
            raise SettingsError(f"auth.jwt.jwks: {self._path}: {error.strerror}") from error
        except ValueError as error:
            raise SettingsError(f"auth.jwt.jwks: {self._path}: {error}") from error


class UrlKeys:
    """A key set at a URL: fetched on a thread, kept, and fetched again by age or for an unknown key.

    Used on one event loop.
    """

    def __init__(self, url: str, *, proxies: bool = True) -> None:
        """Create it; `proxies` is whether the proxies of the environment are used."""
        self._url = url
        self._proxies = proxies
        self._keys: KeySet | None = None
        self._fetched = self._tried = -math.inf
        self._fetching: asyncio.Task[None] | None = None

    async def current(self) -> KeySet:
        """Return the key set; raises `ServerUnavailableError` if it could not be fetched for too long."""
        age = time.monotonic() - self._fetched
        if age > MAX_AGE_SECONDS:
            await self._wait()
        elif age > REFRESH_SECONDS:
            self.start()
        if self._keys is None or time.monotonic() - self._fetched > MAX_AGE_SECONDS:
            raise ServerUnavailableError(
                "the server cannot fetch the keys that verify tokens; try again later", reason="JWT_KEYS_UNAVAILABLE"
            )
        return self._keys

    async def renewed(self) -> KeySet:
        """Return the key set, fetched again unless that was tried within `MIN_INTERVAL_SECONDS`."""
        await self._wait()
        return await self.current()

    def start(self) -> None:
        """Begin to fetch, unless a fetch runs or was tried within `MIN_INTERVAL_SECONDS`."""
        now = time.monotonic()
        if self._fetching is None and now - self._tried >= MIN_INTERVAL_SECONDS:
            self._tried = now
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())

    def close(self) -> None:
        """Stop fetching."""
        if self._fetching:
            self._fetching.cancel()

    async def _wait(self) -> None:
        self.start()
        if self._fetching:
            await asyncio.wait([self._fetching])  # a call that is cancelled does not cancel the fetch of the others

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                content = await asyncio.to_thread(_download, self._url, self._proxies)
            self._keys = KeySet.parse(content)
            self._fetched = time.monotonic()
        except (OSError, HTTPException, ValueError) as error:
            if self._keys:
                kept = f"keeping the previous keys for {MAX_AGE_SECONDS / 3600:g} hours after their fetch"
            else:
                kept = "rejecting all JSON Web Tokens"
            _LOG.error("the key set at %s cannot be fetched, %s: %s", self._url, kept, error or type(error).__name__)
        finally:
            self._fetching = None


class _NoRedirect(HTTPRedirectHandler):
    """Refuses redirects, which could lead away from TLS."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        """Return no further request, so that the redirect is an error."""
        return None


def _download(url: str, proxies: bool) -> bytes:
    """Return the content at a URL; blocks. Raises `OSError`, `HTTPException` or `ValueError`."""
    handlers: list[Any] = [_NoRedirect]
    if not proxies:
        handlers.append(ProxyHandler({}))
    request = Request(url, headers={"Accept": "application/json", "User-Agent": f"mien/{__version__}"})
    ends = time.monotonic() + _FETCH_SECONDS
    content = bytearray()
    with build_opener(*handlers).open(request, timeout=_FETCH_SECONDS) as response:
        while chunk := response.read1(_CHUNK):
            content += chunk
            if len(content) > _MAX_BYTES:
                raise ValueError("it is larger than 1 MiB")
            if time.monotonic() > ends:
                raise TimeoutError("it was sent too slowly")
    return bytes(content)
