"""The engine of this process; the only module of the SDK that imports it, and only when it is asked for."""

from typing import TYPE_CHECKING

from mien.errors import EmbeddedUnavailableError

if TYPE_CHECKING:
    from mien_orchestrator.embedded import AsyncEmbeddedEngine, EmbeddedEngine


def embedded() -> "EmbeddedEngine":
    """Start the engine of this process; raises `EmbeddedUnavailableError` where its packages are missing."""
    try:
        from mien_orchestrator.embedded import EmbeddedEngine
    except ImportError as error:
        raise _missing(error) from error
    return EmbeddedEngine()


def async_embedded() -> "AsyncEmbeddedEngine":
    """As `embedded`, for asyncio."""
    try:
        from mien_orchestrator.embedded import AsyncEmbeddedEngine
    except ImportError as error:
        raise _missing(error) from error
    return AsyncEmbeddedEngine()


def _missing(error: ImportError) -> EmbeddedUnavailableError:
    return EmbeddedUnavailableError(
        f"analyzing in this process needs the package {error.name!r}: pip install 'mien[local]', or name a server "
        "(server='host:port', --server, MIEN_SERVER)"
    )
