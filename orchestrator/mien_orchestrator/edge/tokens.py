"""API keys: bearer tokens stored as hashes in a file that is reloaded when it changes."""

import hashlib
import hmac
import logging
import re
import secrets
from pathlib import Path

from mien.errors import AuthenticationError, SettingsError
from mien_orchestrator.file_watch import WatchedFiles
from mien_orchestrator.pipeline.request_context import RequestContext

_LOG = logging.getLogger(__name__)

_PREFIX = "mien_"
"""Prefix of tokens, so that secret scanners can find leaked ones."""

_RANDOM_BYTES = 32

_LINE = re.compile(r"([\w.@-]{1,64}):([0-9a-f]{64})")


def make_token() -> str:
    """Return a new random token."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def token_line(name: str, token: str) -> str:
    """Return a token's line of the token file, `name:sha256`; raises `SettingsError` for an invalid name."""
    line = f"{name}:{_digest(token)}"
    if not _LINE.fullmatch(line):
        raise SettingsError(f"a token's name must be 1 to 64 letters, digits or any of ._@-, not {name!r}")
    return line


class TokenFile:
    """Known tokens: one `name:sha256` per line; empty lines and lines that begin with # are ignored."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises `SettingsError`."""
        self._path = path
        self._watched = WatchedFiles([path])
        self._entries = self._read()

    def check(self, authorization: str | None) -> str:
        """Return the caller's name for an `authorization` header; raises `AuthenticationError`."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise AuthenticationError(
                "this server requires a token: set MIEN_TOKEN, or pass Client(token=...) or --token-file",
                reason="TOKEN_MISSING",
            )
        self._refresh()
        digest = _digest(token.strip())
        known = [name for name, other in self._entries if hmac.compare_digest(digest, other)]
        if not known:
            raise AuthenticationError(
                "this server does not know the token; ask its operator for a new one", reason="TOKEN_UNKNOWN"
            )
        return known[0]

    def _refresh(self) -> None:
        if self._watched.changed():
            try:
                self._entries = self._read()
            except SettingsError as error:
                _LOG.error("the new token file is invalid, keeping the previous tokens: %s", error)

    def _read(self) -> list[tuple[str, str]]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise SettingsError(f"token file {self._path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SettingsError(
                f"token file {self._path} is not UTF-8 text; create its lines with `mien token`"
            ) from error
        entries = []
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            found = _LINE.fullmatch(line.strip())
            if not found:  # the line is not logged: it may be a token pasted here by mistake
                raise SettingsError(
                    f"token file {self._path}, line {number}: expected name:sha256, as `mien token` prints"
                )
            entries.append((found[1], found[2]))
        return entries


class Authentication:
    """Checks the token of a call; one object for all protocols of a server."""

    def __init__(self) -> None:
        self.tokens: TokenFile | None = None
        """The known tokens; None if calls are not authenticated."""

    def check(self, context: RequestContext) -> None:
        """Authenticate a call and record the caller's name in its context; raises `AuthenticationError`."""
        if self.tokens:
            context.caller = self.tokens.check(context.metadata.get("authorization"))


def _digest(token: str) -> str:
    """Return the SHA-256 in hexadecimal; a token is random, so it needs no slow hash and no salt."""
    return hashlib.sha256(token.encode()).hexdigest()
