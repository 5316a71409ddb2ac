"""Families of networks, a module each."""
