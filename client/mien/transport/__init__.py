"""What the SDK talks to: a server over gRPC, or the engine of this process."""
