"""Measuring a codec beside others: speed, quality, what packet loss and damage do."""
