"""A session with tritonclient, run by an interpreter that has it: python triton_session.py GRPC HTTP IMAGE [TOKEN]

Prints what the server answered over gRPC and over HTTP, as JSON. It imports nothing of Mien.
"""

import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http

CROPS = np.random.default_rng(0)


def session(module: Any, address: str, image: bytes, **options: Any) -> dict[str, Any]:
    """Call every method that Mien serves."""
    client = module.InferenceServerClient(address)
    found: dict[str, Any] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("mien", **options),
        "task_ready": client.is_model_ready("age", **options),
        "server": _plain(client.get_server_metadata(**options)),
        "metadata": _plain(client.get_model_metadata("emotion", **options)),
    }
    images = np.array([image, image], object)
    found["mien"] = _infer(module, client, "mien", "images", images, "BYTES", None, options)
    found["some"] = _infer(module, client, "mien", "images", images[:1], "BYTES", ["ages", "emotions"], options)
    (side,) = {length for each in found["metadata"]["inputs"] for length in each["shape"][1:3]}
    crops = np.random.default_rng(0).integers(0, 256, (3, int(side), int(side), 3), np.uint8)
    found["emotion"] = _infer(module, client, "emotion", "crops", crops, "UINT8", None, options)
    broken = np.array([image, b"x"], object)
    errors = {
        "model": lambda: client.get_model_metadata("nose", **options),
        "version": lambda: client.get_model_metadata("mien", "99", **options),
        "image": lambda: _infer(module, client, "mien", "images", broken, "BYTES", None, options),
        "shape": lambda: _infer(module, client, "emotion", "crops", crops[:, 1:], "UINT8", None, options),
        "type": lambda: _infer(module, client, "mien", "images", crops[0, 0, 0], "UINT8", None, options),
        "output": lambda: _infer(module, client, "mien", "images", images, "BYTES", ["nose"], options),
    }
    found["errors"] = {name: _error(call) for name, call in errors.items()}
    client.close()
    return found


def _infer(
    module: Any, client: Any, model: str, name: str, array: Any, datatype: str, wanted: Any, options: Any
) -> dict[str, Any]:
    given = module.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array)
    outputs = [module.InferRequestedOutput(output) for output in wanted] if wanted else None
    result = client.infer(model, [given], outputs=outputs, **options)
    response = result.get_response()
    names = [output["name"] for output in response["outputs"]] if isinstance(response, dict) else None
    names = names or [output.name for output in response.outputs]
    return {output: _list(result.as_numpy(output)) for output in names}


def _list(array: Any) -> Any:
    if array.dtype == object:
        return [item.decode() if isinstance(item, bytes) else item for item in array]
    return [None if row != row else row for row in array.tolist()] if array.ndim == 1 else array.tolist()


def _plain(message: Any) -> dict[str, Any]:
    if isinstance(message, dict):
        return message
    return {
        "name": message.name,
        "inputs": [{"name": each.name, "shape": list(each.shape)} for each in getattr(message, "inputs", [])],
    }


def _error(call: Any) -> str:
    try:
        call()
    except Exception as error:
        return str(error)
    return ""


if __name__ == "__main__":
    grpc_address, http_address, path, *token = sys.argv[1:]
    with open(path, "rb") as file:
        content = file.read()
    headers = {"headers": {"authorization": f"Bearer {token[0]}"}} if token else {}
    print(
        json.dumps(
            {
                "grpc": session(tritonclient.grpc, grpc_address, content, **headers),
                "http": session(tritonclient.http, http_address.removeprefix("http://"), content, **headers),
            }
        )
    )
