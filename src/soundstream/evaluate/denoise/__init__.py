"""What the denoise switch does, beside third-party noise reduction."""
