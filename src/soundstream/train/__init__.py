"""The training program: data, losses, loop and checkpoints."""
