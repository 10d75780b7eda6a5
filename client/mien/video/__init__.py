"""Streams of frames: their messages, and connections that go on after a lost server."""
