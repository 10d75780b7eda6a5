"""The `.proto` files of Mien's services, for clients in other languages.

    protoc $(python -m mien.protos) --java_out=out mien/v1/face_service.proto mien/v1/face.proto

Wheels have the files in this folder; in a clone they are in `protos/`.
"""

from pathlib import Path

from google.rpc import status_pb2

_INSTALLED = Path(__file__).parent
_CLONE = Path(__file__).parents[3] / "protos"


def include_paths() -> tuple[Path, Path]:
    """Return the folders to pass to protoc as `-I`.

    Returns:
        The folder of `mien/v1/*.proto`, and that of `google/rpc/status.proto`, which they import and which the package
        googleapis-common-protos installs. `google/protobuf/*.proto` come with protoc itself.

    """
    ours = _INSTALLED if (_INSTALLED / "mien").is_dir() else _CLONE
    return ours, Path(status_pb2.__file__).parents[2]
