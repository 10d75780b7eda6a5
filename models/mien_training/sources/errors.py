"""Errors of published collections."""


class PrepareError(ValueError):
    """A published file that is missing or malformed; the message names it."""
