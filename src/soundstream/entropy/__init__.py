"""Codes to payload bytes and back; every coder does what `Coder` says."""

from soundstream.entropy.coded import ContextCoder, StaticCoder
from soundstream.entropy.coder import Coder
from soundstream.entropy.plain import PlainCoder
from soundstream.entropy.tables import TABLES_FILE, Tables

__all__ = ["TABLES_FILE", "Coder", "ContextCoder", "PlainCoder", "StaticCoder", "Tables"]
