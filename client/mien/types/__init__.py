"""The values of replies."""
