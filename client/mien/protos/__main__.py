"""Print protoc's options for the `.proto` files of Mien: protoc $(python -m mien.protos) ..."""

from mien.protos import include_paths

if __name__ == "__main__":
    print(*(f"-I{path}" for path in include_paths()))
