"""The image formats that are supported, and the names of common ones that are not."""

try:
    import pillow_heif
except ImportError:
    _HEIF: tuple[str, ...] = ()
else:
    pillow_heif.register_heif_opener()
    _HEIF = ("HEIF",)

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *_HEIF)
"""Supported formats, by Pillow's names; HEIF (HEIC) only if `pillow-heif` is installed."""

# (offset, bytes, name) of common formats that are not supported, for the error message.
_UNSUPPORTED = (
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "PSD"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftypmif", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftyphevc", "HEIF"),
    (4, b"ftyp", "video"),
)


def unsupported_name(data: bytes) -> str | None:
    """Return the name of a common format that is not supported, or None if the bytes are not of one."""
    name = next((name for at, mark, name in _UNSUPPORTED if data.startswith(mark, at)), None)
    return None if name in FORMATS else name
