"""An issuer of JSON Web Tokens, with its keys and a web server for its key set."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://login.example.org/realms/main"
AUDIENCE = "mien"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_jwk(key: PrivateKey, key_id: str | None, **members: object) -> dict[str, Any]:
    """Return a key's member of a key set."""
    algorithm: Any = ECAlgorithm
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = RSAAlgorithm
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = OKPAlgorithm
    found = dict(algorithm.to_jwk(key.public_key(), as_dict=True))
    found.pop("key_ops", None)
    return found | ({"kid": key_id} if key_id else {}) | members


def claims(**changes: object) -> dict[str, Any]:
    """Return the claims of a valid token; a claim that is None is left out."""
    now = int(time.time())
    all_of_them = {"iss": ISSUER, "aud": AUDIENCE, "sub": "phone", "iat": now, "exp": now + 300} | changes
    return {name: value for name, value in all_of_them.items() if value is not None}


def token(
    key: PrivateKey,
    key_id: str | None,
    algorithm: str = "RS256",
    headers: Mapping[str, Any] | None = None,
    **changes: object,
) -> str:
    """Sign a token; `changes` replace claims."""
    named = {"kid": key_id} if key_id else {}
    return jwt.encode(claims(**changes), key, algorithm, {**named, **(headers or {})})


class KeySetServer:
    """What the web server answers, and how often it was asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.status = 200
        self.location = ""
        self.requests = 0
        self.held = threading.Event()
        """Requests wait until it is set."""
        self.held.set()
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, answers: KeySetServer, *arguments: Any) -> None:
        self._answers = answers
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self._answers.requests += 1
        self._answers.held.wait(30)
        body = json.dumps({"keys": self._answers.keys}).encode()
        self.send_response(self._answers.status)
        if self._answers.location:
            self.send_header("Location", self._answers.location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


@contextmanager
def serve_keys(*keys: dict[str, Any]) -> Iterator[KeySetServer]:
    """Serve a key set on a free port."""
    answers = KeySetServer()
    answers.keys = list(keys)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, answers)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        answers.url = f"http://127.0.0.1:{server.server_port}/keys"
        try:
            yield answers
        finally:
            answers.held.set()
            server.shutdown()
            thread.join()
