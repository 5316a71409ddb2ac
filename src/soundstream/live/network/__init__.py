"""Live packets over a network: RTP, UDP, the jitter buffer, and bad networks to try things on."""
