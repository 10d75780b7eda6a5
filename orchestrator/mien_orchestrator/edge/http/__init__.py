"""Serve HTTP/JSON beside gRPC: the same calls by the same code."""
