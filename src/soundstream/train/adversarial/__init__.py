"""Discriminators, what they are, what they teach, and how they learn."""
