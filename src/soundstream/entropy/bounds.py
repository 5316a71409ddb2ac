"""Bounds that the whole numbers of entropy coding keep, so that every machine computes the same."""

TOTAL_BITS = 18
TOTAL = 1 << TOTAL_BITS
"""Sum of the frequencies of all symbols, at every place."""
LIMIT = 127
"""Largest magnitude of a weight and of an input of the context model."""
PARTS = 6
"""Vectors that make up the inputs."""
MAX_INPUTS = (1 << 24) // LIMIT**2
"""Terms of a sum that stays a whole number below 2^24 whatever the order of its additions: 1,040."""
