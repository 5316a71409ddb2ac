"""What one step does, and on what: networks, averages, optimizers, precision, and the stages of a run."""
