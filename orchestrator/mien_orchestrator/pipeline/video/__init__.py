"""Analyze video streams: track faces, and combine predictions over frames. Independent of the transport."""
