"""Keep decoders from printing errors about damaged files to standard error; each is an exception as well."""

import ctypes
import logging

from PIL import Image


def silence_decoders() -> None:
    """Silence libtiff's errors and, unless logging is set up, Pillow's log lines.

    Pillow silences libtiff's warnings only. Does nothing for a libtiff that exports no functions.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    library = ctypes.CDLL(Image.core.__file__)  # type: ignore[attr-defined]  # where Pillow is linked to libtiff
    for name in ("TIFFSetErrorHandler", "TIFFSetErrorHandlerExt"):
        set_handler = getattr(library, name, None)
        if set_handler:
            set_handler.argtypes = [ctypes.c_void_p]
            set_handler(None)
