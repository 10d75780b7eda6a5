"""Verify JSON Web Tokens: signature, issuer, audience and time, by the advice of RFC 8725."""

import logging
from pathlib import Path
from typing import Any

import jwt

from mien.errors import AuthenticationError
from mien_orchestrator.edge.auth.jwt.key_set import PublicKey
from mien_orchestrator.edge.auth.jwt.key_sources import FileKeys, KeySource, UrlKeys
from mien_orchestrator.settings import JwtSettings

_LOG = logging.getLogger(__name__)

_LONGEST = 8192
"""Largest token, in characters."""

_LONGEST_NAME = 128

_NEW_TOKEN = "get a new token from the issuer"


class JwtVerifier:
    """Verifies the tokens of one issuer."""

    def __init__(self, settings: JwtSettings) -> None:
        """Read the key set if it is a file; raises `SettingsError`."""
        self._settings = settings
        assert settings.jwks, "the settings have an issuer with its key set"
        self.keys: KeySource = (
            UrlKeys(settings.jwks, proxies=not settings.is_loopback)
            if settings.is_url
            else FileKeys(Path(settings.jwks))
        )
        if settings.jwks.startswith("http:") and not settings.is_loopback:
            _LOG.warning(
                "auth.jwt.jwks: %s is without TLS; anyone who can change the traffic can sign tokens", settings.jwks
            )

    async def check(self, token: str) -> str:
        """Return the caller's name.

        Raises:
            AuthenticationError: The token is invalid, expired, or of another issuer or audience.
            ServerUnavailableError: The issuer's keys cannot be fetched.

        """
        key, algorithm = await self._key_of(token)
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                leeway=self._settings.leeway_s,
                options={"require": ["exp", "iss", "aud"], "verify_sub": False, "verify_jti": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refusal("the token has expired", "TOKEN_EXPIRED") from error
        except jwt.ImmatureSignatureError as error:
            raise _refusal(
                "the token is not valid yet", "TOKEN_NOT_YET_VALID", "compare the clocks of issuer and server"
            ) from error
        except jwt.InvalidIssuerError as error:
            raise _refusal(
                "the token is of another issuer", "TOKEN_ISSUER_INVALID", f"get one from {self._settings.issuer}"
            ) from error
        except jwt.InvalidAudienceError as error:
            raise _refusal(
                "the token is for another audience",
                "TOKEN_AUDIENCE_INVALID",
                f"request one for the audience {self._settings.audience}",
            ) from error
        except jwt.MissingRequiredClaimError as error:
            raise _refusal(f"the token lacks the claim {error.claim}", "TOKEN_INVALID") from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise _refusal("the token or its signature is invalid", "TOKEN_INVALID") from error
        return self._name(claims)

    async def _key_of(self, token: str) -> tuple[PublicKey, str]:
        """Return the key that verifies a token, and the signature's algorithm."""
        if len(token) > _LONGEST:
            raise _refusal(
                f"the token is longer than {_LONGEST} characters", "TOKEN_INVALID", "request one with fewer claims"
            )
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise _refusal("the token is not a JSON Web Token", "TOKEN_INVALID") from error
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._settings.accepted:
            names = ", ".join(self._settings.accepted)
            raise _refusal(
                "the token's signature algorithm is not accepted", "TOKEN_INVALID", f"have it signed with {names}"
            )
        key = (await self.keys.current()).find(key_id, algorithm) or (await self.keys.renewed()).find(key_id, algorithm)
        if key is None:
            raise _refusal("the issuer has no key of the token's key id and algorithm", "TOKEN_KEY_UNKNOWN")
        return key, algorithm

    def _name(self, claims: dict[str, Any]) -> str:
        name = claims.get(self._settings.name_claim)
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
            raise _refusal(
                f"the token's claim {self._settings.name_claim} is not a name of 1 to {_LONGEST_NAME} printable "
                "characters",
                "TOKEN_INVALID",
            )
        return name


def _refusal(problem: str, reason: str, advice: str = _NEW_TOKEN) -> AuthenticationError:
    return AuthenticationError(f"{problem}; {advice}", reason=reason)
