"""Settings of authentication."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from mien_orchestrator.settings.group import Group

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signature algorithms of JSON Web Tokens (RFC 7518, RFC 8037); all of them asymmetric."""


class JwtSettings(Group):
    """JSON Web Tokens of an OpenID Connect provider; off unless `issuer` is set. Needs the extra `jwt`."""

    issuer: str | None = Field(default=None, min_length=1)
    """Issuer of the tokens, exactly as in their claim `iss`, such as `https://login.example.org/realms/main`."""
    audience: str | None = Field(default=None, min_length=1)
    """Audience that the tokens are for: one of their claim `aud`; required."""
    jwks: str | None = Field(default=None, min_length=1)
    """Key set (JWKS) that verifies the tokens: a file, read again when it changes, or an `https://` or `http://` URL,
    fetched every 5 minutes and when a token has an unknown key id; required."""
    name_claim: str = Field(default="sub", min_length=1)
    """Claim with the caller's name, for limits, log and metrics."""
    algorithms: Annotated[tuple[Algorithm, ...], NoDecode] = ()
    """Signature algorithms that are accepted, in an environment variable separated by commas; unset: all of these, all
    asymmetric."""
    leeway_s: float = Field(default=30, ge=0, le=600)
    """Difference of the clocks of issuer and server that is allowed for."""

    @field_validator("algorithms", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        if isinstance(names, str):
            return tuple(name.strip() for name in names.split(",") if name.strip())
        return names

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = [name for name in ("issuer", "audience", "jwks") if getattr(self, name)]
        if 0 < len(given) < 3:
            raise ValueError("auth.jwt.issuer, auth.jwt.audience and auth.jwt.jwks belong together; set all three")
        scheme, separator, _ = (self.jwks or "").partition("://")
        if separator and (scheme not in ("http", "https") or not urlsplit(self.jwks).hostname):
            raise ValueError("auth.jwt.jwks must be a file, or a URL such as https://login.example.org/keys")
        return self

    @property
    def accepted(self) -> tuple[Algorithm, ...]:
        """The signature algorithms that are accepted."""
        return self.algorithms or get_args(Algorithm)

    @property
    def is_url(self) -> bool:
        """Whether the key set is at a URL, not in a file."""
        return "://" in (self.jwks or "")

    @property
    def is_loopback(self) -> bool:
        """Whether the URL of the key set has a loopback address."""
        host = urlsplit(self.jwks or "").hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


class AuthSettings(Group):
    """Authentication of callers: by the tokens of a file, by JSON Web Tokens, or by either."""

    token_file: Path | None = None
    """File with one line `name:sha256` per access token, as `mien token` prints it, reloaded when it changes. Unset,
    and without `auth.jwt`, calls need no token."""
    jwt: JwtSettings = JwtSettings()
    max_concurrent_requests: int | None = Field(default=None, ge=1)
    """Images of one caller's name that a process analyzes at once; unset: no limit but that of all callers."""
    max_requests_per_second: float | None = Field(default=None, gt=0)
    """Images of one caller's name that a process takes per second, up to a second's worth at once; unset: no limit."""

    max_streams: int | None = Field(default=None, ge=1)
    """Video streams of one caller's name per process at the same time; unset: no limit but its share of
    `streams.max_streams`."""

    @property
    def required(self) -> bool:
        """Whether calls need a token."""
        return self.token_file is not None or self.jwt.issuer is not None

    @model_validator(mode="after")
    def _for_names(self) -> Self:
        limits = (self.max_concurrent_requests, self.max_requests_per_second, self.max_streams)
        if not self.required and any(limits):
            raise ValueError("limits per caller need auth.token_file or auth.jwt")
        return self
