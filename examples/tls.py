"""Call a server over mutual TLS: python examples/tls.py localhost:50051 photo.jpg ca.pem client.pem client.key

The server's side: the settings `tls.certificate`, `tls.key` and, to require client certificates, `tls.client_ca`.
"""

import sys

import mien


def main(server: str, photo: str, ca: str, certificate: str, key: str) -> None:
    """Print the faces. `mien.Tls()` without files trusts the public authorities."""
    with mien.Client(server, tls=mien.Tls(ca=ca, certificate=certificate, key=key)) as client:
        print(client.analyze(photo))


if __name__ == "__main__":
    main(*sys.argv[1:])
