"""Decode image files and convert raw pixels to upright RGB images."""
