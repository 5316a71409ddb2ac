"""Codes to payload bytes and back; every coder does what `Coder` says."""

from soundstream.entropy.coder import Coder
from soundstream.entropy.context_coder import ContextCoder
from soundstream.entropy.plain import PlainCoder
from soundstream.entropy.static import StaticCoder
from soundstream.entropy.tables import TABLES_FILE, Tables

__all__ = ["TABLES_FILE", "Coder", "ContextCoder", "PlainCoder", "StaticCoder", "Tables"]
