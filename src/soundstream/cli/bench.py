"""The command that measures speed: bench."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from soundstream.cli.display import messages
from soundstream.cli.options import Force
from soundstream.evaluate.speed.peers import Peer
from soundstream.spec import DEFAULT_BITRATE
from soundstream.system.files import atomic_output

if TYPE_CHECKING:
    from soundstream.evaluate.speed.bench import SpeedReport


def bench(
    bitrate: Annotated[int, typer.Option("--bitrate", help="Bit/s.")] = DEFAULT_BITRATE,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="A shipped model's name, or the folder of another one; may be repeated."),
    ] = None,
    against: Annotated[
        list[Peer] | None, typer.Option("--against", help="Another codec in the same run; may be repeated.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Measurements to take the median of.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file for the JSON.")] = None,
    force: Force = False,
) -> None:
    """Measure single-thread speed, latency, memory and size, beside this machine's own matrix product.

    EnCodec has random weights here and is measured for its speed only.
    """
    from soundstream.evaluate.speed.bench import bench as run

    with atomic_output(output, force) if output else nullcontext() as file, messages.status("measuring"):
        report = run(models or ["default"], bitrate, against or [], rounds)
        text = json.dumps(report.to_dict(), indent=2) + "\n"
        if file:
            file.write(text.encode())
    if as_json:
        print(text, end="")
    else:
        show(report)


def show(report: SpeedReport) -> None:
    """Print a report for people."""
    right = [Column(name, justify="right") for name in ("times real time", "share of sgemm")]
    table = Table("codec", "part", "mode", *right)
    for row in report.rows:
        share = f"{row.sgemm_share:.0%}" if row.sgemm_share is not None else "-"
        table.add_row(row.codec, row.part, row.mode, f"{row.times_real_time:,.1f}", share)
    Console().print(table)
    for hop in report.hop_ms:
        values = f"{hop.p50} at the median, {hop.p90} at 90 %, {hop.p99} at 99 %"
        print(f"{hop.codec}, one hop, pcm to bytes to pcm, ms of {hop.clock} time: {values}")
    print(f"import {report.import_s} s, base install {report.install_mb} MB, peak memory {report.peak_memory_mb} MB")
    print(f"sgemm, one thread, same run: {report.sgemm_gflops} GFLOP/s; {report.machine}")
