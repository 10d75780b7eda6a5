"""Export PyTorch networks as the ONNX files that serving loads."""
