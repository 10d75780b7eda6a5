"""Bearer tokens of callers: API keys, stored as hashes in a file that is reloaded when it changes, or JWTs."""

import hashlib
import hmac
import logging
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import AuthenticationError, SettingsError
from mien_orchestrator.file_watch import WatchedFiles
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.settings import AuthSettings, JwtSettings

if TYPE_CHECKING:
    from mien_orchestrator.edge.auth.jwt.verifier import JwtVerifier  # imported only if JSON Web Tokens are accepted

_LOG = logging.getLogger(__name__)

_PREFIX = "mien_"
"""Prefix of tokens, so that secret scanners can find leaked ones."""

_RANDOM_BYTES = 32

_JWT_DOTS = 2
"""Dots of a signed JSON Web Token: header, claims, signature."""

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

    def find(self, token: str) -> str | None:
        """Return the name of a token, None if it is unknown."""
        self._refresh()
        digest = _digest(token)
        known = [name for name, other in self._entries if hmac.compare_digest(digest, other)]
        return known[0] if known else None

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
    """Checks the token of a call; one object for all protocols of a server. Used on one event loop."""

    def __init__(self, settings: AuthSettings) -> None:
        """Read the token file and the key set, if they are files; raises `SettingsError`."""
        self._settings = settings
        self._tokens = TokenFile(settings.token_file) if settings.token_file else None
        self._jwt = _make_verifier(settings.jwt) if settings.jwt.issuer else None

    def start(self) -> None:
        """Begin to fetch the key set of JSON Web Tokens, if it is at a URL."""
        if self._jwt:
            self._jwt.keys.start()

    def replace(self, settings: AuthSettings) -> None:
        """Use other settings, and read the files again; raises `SettingsError`, and nothing has changed.

        A key set that was fetched is kept if its settings are the same.
        """
        other = Authentication(settings)
        if settings.jwt == self._settings.jwt and settings.jwt.is_url:
            other._jwt = self._jwt
        elif self._jwt:
            self._jwt.keys.close()
        self._settings, self._tokens, self._jwt = settings, other._tokens, other._jwt
        self.start()

    def close(self) -> None:
        """Stop fetching."""
        if self._jwt:
            self._jwt.keys.close()

    async def check(self, context: RequestContext) -> None:
        """Authenticate a call and record the caller's name in its context.

        Raises:
            AuthenticationError: The token is missing, unknown, invalid or expired.
            ServerUnavailableError: The keys that verify JSON Web Tokens cannot be fetched.

        """
        if not self._settings.required:
            return
        scheme, _, token = context.metadata.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise AuthenticationError(
                "this server requires a token: set MIEN_TOKEN, or pass Client(token=...) or --token-file",
                reason="TOKEN_MISSING",
            )
        name = self._tokens.find(token) if self._tokens else None
        if name is None and self._jwt and (self._tokens is None or token.count(".") == _JWT_DOTS):
            name = await self._jwt.check(token)
        if name is None:
            raise AuthenticationError(
                "this server does not know the token; ask its operator for a new one", reason="TOKEN_UNKNOWN"
            )
        context.caller = name


def _make_verifier(settings: JwtSettings) -> "JwtVerifier":
    try:
        from mien_orchestrator.edge.auth.jwt.verifier import JwtVerifier
    except ImportError as error:
        raise SettingsError(
            f"JSON Web Tokens need the package {error.name!r}: pip install 'mien[jwt]', or unset auth.jwt.issuer"
        ) from error
    return JwtVerifier(settings)


def _digest(token: str) -> str:
    """Return the SHA-256 in hexadecimal; a token is random, so it needs no slow hash and no salt."""
    return hashlib.sha256(token.encode()).hexdigest()
