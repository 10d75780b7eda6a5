"""The orchestrator: analyzes one image per request with models behind a `Backend` and merges the results."""
