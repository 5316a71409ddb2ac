"""Live audio: packets as sound arrives, sound as packets do, and what a network does to them."""

from soundstream.live.decoder import LiveDecoder
from soundstream.live.encoder import LiveEncoder

__all__ = ["LiveDecoder", "LiveEncoder"]
