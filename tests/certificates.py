"""Certificates of a test authority, as the files of servers and clients."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

HOSTS = ("localhost", "127.0.0.1")


class Authority:
    """A certificate authority and the folder of its files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, *hosts: str, days: float = 1) -> tuple[Path, Path]:
        """Write a certificate that is valid until `days` from now, and its key; return both paths."""
        now = datetime.now(UTC)
        made = self._ca.issue_cert(
            *(hosts or HOSTS), not_before=now - timedelta(days=30), not_after=now + timedelta(days=days)
        )
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        made.cert_chain_pems[0].write_to_path(certificate)
        made.private_key_pem.write_to_path(key)
        return certificate, key
