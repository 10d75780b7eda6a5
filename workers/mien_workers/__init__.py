"""The workers: one Ray Serve deployment a task, and the orchestrator's deployment that calls them."""
