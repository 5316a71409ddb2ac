"""The command that says what a .nac file holds, or one of DAC's own: info."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from soundstream.cli.options import Input
from soundstream.codec import info as describe
from soundstream.codec.dac_files import dac_info, is_dac


def info(
    source: Input,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
    packets: Annotated[bool, typer.Option("--packets", help="List every packet.")] = False,
) -> None:
    """Show what a .nac file says of itself, and check every checksum in it; exit 1 if something is damaged.

    Of DAC's own files, .dac, it shows what they have, which is neither a model nor a checksum.

    Rates are in bit/s: [dim]bitrate[/dim] of the whole file, [dim]nominal_bitrate[/dim] the mean of a channel before
    entropy coding, [dim]max_bitrate[/dim] what a packet of a variable rate may have.
    """
    if is_dac(source):
        facts = dac_info(source).to_dict()
        print(json.dumps(facts, indent=2)) if as_json else _print_table(facts)
        return
    found = describe(source)
    listed = [_said(asdict(packet)) for packet in found.packet_list] if packets else []
    if as_json:
        print(json.dumps(found.to_dict() | ({"packet_list": listed} if packets else {}), indent=2))
    else:
        _print_table(found.to_dict(), listed)
    if found.damage:
        raise typer.Exit(1)


def _said(packet: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in packet.items() if value is not None}


def _print_table(facts: dict[str, Any], listed: Iterable[dict[str, Any]] = ()) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(_plain(value)))
    Console().print(table)
    for packet in listed:
        print("  ".join(f"{name} {value}" for name, value in packet.items()))


def _plain(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{_printable(k)}={_printable(v)}" for k, v in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)
