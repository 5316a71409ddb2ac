"""A neural audio codec: speech, music and any sound at 1.5 to 18 kbit/s."""

__version__ = "0.1.0"
