"""The networks, in PyTorch. Nothing here is needed to run a codec: `nn.export` writes the artifact that the runtime reads."""
