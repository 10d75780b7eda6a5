"""Triton through PyTriton: as many instances of the pipeline as cores, one image a call.

A request is a stack of faces already; a batch of images would only keep one instance waiting for the other.

python -m peers.triton PORT
"""

import json
import os
import sys
import sysconfig

import numpy as np
from numpy.typing import NDArray
from pytriton.model_config import ModelConfig, Tensor
from pytriton.proxy.types import Request
from pytriton.triton import Triton, TritonConfig

from pipeline import Pipeline


class Instance:
    """One instance of the model."""

    def __init__(self) -> None:
        self._pipeline = Pipeline()

    def __call__(self, requests: list[Request]) -> list[dict[str, NDArray[np.bytes_]]]:
        """Analyze the one image of each request, a string."""
        images = [bytes(request["image"][0]) for request in requests]
        return [{"reply": np.array([json.dumps(self._pipeline.analyze(image)).encode()])} for image in images]


if __name__ == "__main__":
    # As PyTriton's installation guide says: its server loads libpython, which must be that of this interpreter.
    os.environ["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")
    # One instance after the other: the second looks for the first's socket, for one second.
    os.environ["TRITON_PARALLEL_INSTANCE_LOADING"] = "0"
    address = {"http_address": "127.0.0.1", "http_port": int(sys.argv[1])}
    config = TritonConfig(**address, allow_grpc=False, allow_metrics=False)
    with Triton(config=config) as server:
        server.bind(
            model_name="mien",
            infer_func=[Instance() for _ in range(os.cpu_count() or 1)],
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="reply", dtype=bytes, shape=(1,))],
            config=ModelConfig(batching=False),
        )
        server.serve()
