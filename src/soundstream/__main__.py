"""`python -m soundstream` is the command `soundstream`."""

from soundstream.cli.commands import main

main()
