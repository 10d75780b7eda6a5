"""Encoded or raw images to upright RGB pictures."""
