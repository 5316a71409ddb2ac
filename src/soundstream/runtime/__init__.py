"""pcm to codes and back, with NumPy and ONNX Runtime."""
