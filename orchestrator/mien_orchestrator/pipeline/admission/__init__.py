"""Admission of images, and fair treatment of callers: shares, limits of each, and the order of waiting work."""
