"""HTTP/JSON beside gRPC: the same calls, by the same code, for curl, browsers and every language."""
