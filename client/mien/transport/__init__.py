"""Transports: a gRPC connection to servers, and the local engine in this process."""
