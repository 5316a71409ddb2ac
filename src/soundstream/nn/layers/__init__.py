"""Layers that any family may take: modules with an explicit state, a torch form and an ONNX form."""
