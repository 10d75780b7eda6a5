"""Quantise an exported model to 8-bit integers: static QDQ, weights per channel, ranges from calibration faces."""

import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from mien_models.registry import Entry
from mien_models.spec import Weights

CALIBRATION_FACES = 256
"""Faces that are enough to find the ranges of the activations."""

_OPERATORS = ["Conv", "Gemm", "MatMul", "Add", "Relu", "GlobalAveragePool", "MaxPool"]
_BATCH = 32


def quantize(entry: Entry, faces: NDArray[np.uint8], path: Path) -> Weights:
    """Write the INT8 variant of a model's float32 file; returns its name, digest and size.

    `faces` (N, S, S, 3) uint8 RGB crops calibrate the activations. Raises `ModelError` if the model's file is missing
    or changed.
    """
    with TemporaryDirectory() as scratch, _silence():
        whole, plain = Path(scratch, "whole.onnx"), Path(scratch, "plain.onnx")
        whole.write_bytes(entry.whole.read())
        quant_pre_process(str(whole), str(plain), skip_symbolic_shape=True)
        quantize_static(
            str(plain),
            str(path),
            _Faces(faces),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    content = path.read_bytes()
    return Weights(file=path.name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


@contextmanager
def _silence() -> Iterator[None]:
    """Silence the quantizer's advice, which is followed here already."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


class _Faces(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no type hints
    """Yields calibration faces to the quantizer, in batches."""

    def __init__(self, faces: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(np.array_split(faces, 1 + (len(faces) - 1) // _BATCH))

    def get_next(self) -> Mapping[str, NDArray[np.uint8]] | None:
        """Return the next batch under the graph's input name, or None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"crops": batch}
