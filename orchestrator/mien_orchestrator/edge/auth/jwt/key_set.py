"""Key sets (JWKS, RFC 7517): the public keys of a token issuer."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_LOG = logging.getLogger(__name__)

_ALGORITHMS = {
    "RSA": frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    "EC P-256": frozenset({"ES256"}),
    "EC P-384": frozenset({"ES384"}),
    "EC P-521": frozenset({"ES512"}),
    "OKP Ed25519": frozenset({"EdDSA"}),
}
"""Signature algorithms of each kind of key, by `kty` and `crv`; symmetric keys, with which a caller could sign, have
none."""

_LEAST_RSA_BITS = 2048
"""Smallest RSA key (NIST SP 800-131A)."""

_PRIVATE = {"d", "k", "p", "q"}
"""Members of a private or symmetric key."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that verifies signatures."""

    key_id: str | None
    algorithms: frozenset[str]
    """Algorithms of the signatures that it verifies."""
    key: Any
    """The key, as PyJWT takes it."""


class KeySet:
    """The public keys of an issuer."""

    def __init__(self, keys: Sequence[PublicKey]) -> None:
        self._keys = keys

    @classmethod
    def parse(cls, text: str | bytes) -> "KeySet":
        """Read a key set in JSON; keys of other uses and kinds are left out.

        Raises:
            ValueError: It is not a key set, has no usable key, or has a private one.

        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError("it is not JSON") from error
        entries = content.get("keys") if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise ValueError('it is not a JSON Web Key Set: {"keys": [...]}')
        if any(isinstance(entry, dict) and entry.keys() & _PRIVATE for entry in entries):
            raise ValueError("it contains a private or symmetric key; use the set of the issuer's public keys")
        keys = [key for entry in entries if isinstance(entry, dict) and (key := _public_key(entry))]
        if not keys:
            raise ValueError("it has no public key for signatures (RSA from 2048 bits, P-256, P-384, P-521 or Ed25519)")
        return cls(keys)

    def find(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """Return the key for a token's `kid` and `alg`; without `kid`, the only one for the algorithm."""
        found = [key for key in self._keys if algorithm in key.algorithms and (key_id is None or key.key_id == key_id)]
        return found[0] if found and (key_id is not None or len(found) == 1) else None


def _public_key(entry: Mapping[str, Any]) -> PublicKey | None:
    """Return the key of one member of the set, None if it is not for signatures that Mien verifies."""
    algorithms = _ALGORITHMS.get(" ".join(str(entry[name]) for name in ("kty", "crv") if name in entry), frozenset())
    if "alg" in entry:
        algorithms &= {str(entry["alg"])}
    if not algorithms or entry.get("use", "sig") != "sig":
        return None
    key_id = entry.get("kid")
    try:
        key = jwt.PyJWK(dict(entry), min(algorithms)).key
    except jwt.PyJWTError:
        _LOG.warning("a key of the key set is invalid and is left out: kid %.80r", key_id)
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        _LOG.warning("an RSA key of %d bits is left out: kid %.80r", key.key_size, key_id)
        return None
    return PublicKey(key_id if isinstance(key_id, str) else None, algorithms, key)
