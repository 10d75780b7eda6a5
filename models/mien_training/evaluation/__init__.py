"""Measure models and detectors, and write result files."""
