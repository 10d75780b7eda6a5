"""Workers: one Ray Serve deployment per task."""
