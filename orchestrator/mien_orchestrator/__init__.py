"""The orchestrator: one photograph in, one merged reply out; the models run behind a `Backend`."""
