"""Live audio: packets as sound arrives, sound as packets do, and what a network does to them."""

from soundstream.live.decoder import LiveDecoder
from soundstream.live.encoder import LIVE_EFFORT, LiveEncoder

__all__ = ["LIVE_EFFORT", "LiveDecoder", "LiveEncoder"]
