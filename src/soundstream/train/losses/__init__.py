"""Losses of the decoded sound, and the balance between them."""
