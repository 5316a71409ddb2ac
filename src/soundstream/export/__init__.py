"""Trained models to artifacts: ONNX graphs, int8 products, and the proof that they compute the same."""
