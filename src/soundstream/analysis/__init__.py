"""Spectra of sound, to train by, to measure by and to look at."""
