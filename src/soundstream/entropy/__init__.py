"""Codes to payload bytes and back; every coder has the same two methods, `encode` and `decode`."""

from soundstream.entropy.plain import PlainCoder

__all__ = ["PlainCoder"]
