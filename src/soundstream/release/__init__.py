"""From a checkpoint to an artifact that may be shipped: checked, measured, described."""
