"""Codecs to compare, ours and others', behind the same two methods."""
