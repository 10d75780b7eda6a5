"""Models for faces: decoding, detection, cropping and inference. Imports neither gRPC nor Ray, and torch on demand."""
