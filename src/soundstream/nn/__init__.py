"""The networks, in PyTorch. A codec runs without it: `export` writes the artifact that the runtime reads."""
