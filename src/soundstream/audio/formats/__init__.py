"""Bytes of audio files, read only as far as needed: what a file says of itself, and where its parts begin."""
