"""The networks, in PyTorch. A codec runs without it: `nn.export` writes the artifact that the runtime reads."""
