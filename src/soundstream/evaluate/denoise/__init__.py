"""What the denoise switch does, beside noise reduction of others."""
