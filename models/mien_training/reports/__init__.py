"""Generate cards and documents from result files."""
