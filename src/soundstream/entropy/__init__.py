"""Codes to payload bytes and back; every coder has the same two methods, `encode` and `decode`."""

from soundstream.entropy.coded import ContextCoder, StaticCoder
from soundstream.entropy.coder import Coder, decode_batch
from soundstream.entropy.plain import PlainCoder
from soundstream.entropy.tables import TABLES_FILE, Tables

__all__ = ["TABLES_FILE", "Coder", "ContextCoder", "PlainCoder", "StaticCoder", "Tables", "decode_batch"]
