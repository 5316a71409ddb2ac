"""The command line: coding files, live sound, measuring and training; each command says more with --help."""

from soundstream.cli.commands import app, main

__all__ = ["app", "main"]
