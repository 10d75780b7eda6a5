"""The Open Inference Protocol v2 over gRPC and HTTP, for clients of Triton, KServe and Seldon."""
