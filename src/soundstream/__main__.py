"""`python -m soundstream` is the command `soundstream`."""

from soundstream.cli import main

main()
