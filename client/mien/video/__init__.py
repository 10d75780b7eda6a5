"""Streams of frames: options, messages, and recovery from lost connections."""
