"""Triton through PyTriton: one instance of the pipeline per core, one image per call.

A request is already a batch of faces; a batch of images would only make instances wait for each other.

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
    # As in PyTriton's installation guide: its server loads libpython, which must be this interpreter's.
    os.environ["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")
    # Start instances one by one: the second waits one second for the first's socket.
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
