"""What is wrong with a published collection."""


class PrepareError(ValueError):
    """A published file that is missing or not as its authors describe it; the message names it."""
