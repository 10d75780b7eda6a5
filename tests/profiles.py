"""ICC profiles."""

from PIL import ImageCms


def profile(name: str) -> bytes:
    """Return one of LittleCMS's own profiles, such as sRGB."""
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes())  # type: ignore[arg-type]


def swapped() -> bytes:
    """Return an sRGB profile with red and blue swapped, under another name."""
    data = profile("sRGB").replace(b"sRGB", b"xRGB").replace("sRGB".encode("utf-16-be"), "xRGB".encode("utf-16-be"))
    return data.replace(b"rXYZ", b"tmpX").replace(b"bXYZ", b"rXYZ").replace(b"tmpX", b"bXYZ")
