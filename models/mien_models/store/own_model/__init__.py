"""Add an ONNX file of any origin to a model store: `mien models add`."""
