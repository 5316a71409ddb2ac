"""Names of the arrays that most modules pass on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
"""Sound, latents or codebooks."""
Codes = NDArray[np.int64]
"""Indices of codebook entries; -1 where a frame has none."""
