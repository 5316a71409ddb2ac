"""Live audio: packets as sound arrives, sound as packets do, and what a network does to them."""
