"""The commands of training and what follows; all but one need PyTorch."""
