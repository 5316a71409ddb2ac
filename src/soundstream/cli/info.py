"""The command that says what a .nac file holds: info."""

from __future__ import annotations

import json
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from soundstream.bitstream import Loss, RepairingReader
from soundstream.cli.options import Input
from soundstream.coding import MODES
from soundstream.files import open_input


def info(
    source: Input,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
    packets: Annotated[bool, typer.Option("--packets", help="List every packet.")] = False,
) -> None:
    """Show what a .nac file says of itself, and check every checksum in it; exit 1 if something is damaged."""
    with open_input(source) as stream:
        facts, listed = _facts(stream)
    if as_json:
        print(json.dumps(facts | ({"packet_list": listed} if packets else {}), indent=2))
    else:
        _print_table(facts, listed if packets else [])
    if facts["damage"]:
        raise typer.Exit(1)


def _print_table(facts: dict[str, object], listed: list[dict[str, object]]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(_plain(value)))
    Console().print(table)
    for packet in listed:
        print("  ".join(f"{name} {value}" for name, value in packet.items()))


def _facts(stream: BinaryIO) -> tuple[dict[str, object], list[dict[str, object]]]:
    """What a file holds, and a line for each packet or loss."""
    reader = RepairingReader(stream)
    header, damage, quantizers, size = reader.header, list[str](), set[int](), 0
    listed: list[dict[str, object]] = []
    for item in reader:
        start_s = round((reader.frames - item.frames) / header.frame_rate, 3)
        if isinstance(item, Loss):
            damage.append(f"{item.packets} packets at {start_s} s: {item.reason}" if item.packets else item.reason)
            listed.append({"at_s": start_s, "frames": item.frames, "lost": item.reason})
        else:
            quantizers.add(item.num_quantizers)
            size += len(item.payload)
            bits = 8 * len(item.payload) * header.frame_rate / item.frames / header.channels
            facts = {"at_s": start_s, "frames": item.frames, "num_quantizers": item.num_quantizers}
            listed.append({**facts, "bytes": len(item.payload), "bitrate": round(bits)})
    num_samples = reader.num_samples
    duration = reader.frames / header.frame_rate if num_samples is None else num_samples / header.sample_rate
    return {
        "model": header.model_id.hex(),
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "num_samples": num_samples,
        "duration_s": round(duration, 3),
        "nominal_bitrate": header.bitrate,
        "measured_bitrate": round(8 * reader.bytes / duration / header.channels) if duration else None,
        "bytes": reader.bytes,
        "payload_bytes": size,
        "codec_sample_rate": header.codec_sample_rate,
        "hop_length": header.hop_length,
        "codebook_bits": header.codebook_bits,
        "num_quantizers": sorted(quantizers) or [header.num_quantizers],
        "entropy_mode": MODES[header.entropy_mode],
        "packets": reader.packets,
        "frames": reader.frames,
        "tags": dict(header.tags),
        "damage": damage,
    }, listed


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{_printable(k)}={_printable(v)}" for k, v in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)
