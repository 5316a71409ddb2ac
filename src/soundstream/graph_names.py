"""Parts of names in graphs by which the runtime knows what it may change there."""

PADDING = ".zero_padding"
"""End of the name of a weight that says how many zeros stand before and behind, or are trimmed."""
SKIPPED = ".skip_of_"
"""By so many samples at both ends what goes beside layers is longer than what passes them, where they pad nothing; the
number, and `.start` or `.end`, follow."""
