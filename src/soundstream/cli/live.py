"""The commands for live audio over a network: send, receive."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from functools import partial
from typing import Annotated, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.status import Status

from soundstream import audio
from soundstream.arrays import Array
from soundstream.audio.wav import WavPipe
from soundstream.cli.options import Force, RawSound, with_encode_options
from soundstream.codec import Codec, load
from soundstream.errors import CodecError, ConfigError
from soundstream.live import LIVE_EFFORT, devices, pipes
from soundstream.live.network import udp
from soundstream.live.network.jitter import Statistics
from soundstream.live.network.rtp import Form, Packetizer
from soundstream.live.network.simulate import GilbertLoss, LossModel, LossyLink, RandomDelay, RandomLoss
from soundstream.runtime.options import EncodeOptions
from soundstream.system.files import stdout

messages = Console(stderr=True, soft_wrap=True)

IDLE_S = 2.0
"""Silence of a sender that ends a stream."""
PATIENT_S = 0.2
"""How long packets are held at least where nobody waits for the sound."""
PROMPT_S = 0.02
"""The same where somebody listens."""

Model = Annotated[
    str, typer.Option("--model", help="A shipped model's name or a folder; must be the same on both sides.")
]
Channels = Annotated[int, typer.Option("--channels", min=1, max=8, help="Must be the same on both sides.")]
Json = Annotated[bool, typer.Option("--json", help="The summary on stdout, machine-readable.")]


@partial(with_encode_options, of_files=False, effort=LIVE_EFFORT)
def send(
    to: Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="Where soundstream receive listens.")],
    source: Annotated[str | None, typer.Argument(metavar="INPUT", help="A file, or - for WAV on stdin.")] = None,
    microphone: Annotated[bool, typer.Option("--microphone", help="Send what the microphone hears.")] = False,
    raw: RawSound = None,
    *,
    options: EncodeOptions,
    packet_frames: Annotated[
        int,
        typer.Option("--packet-frames", min=1, max=4, help="Frames in a packet: more save bandwidth and are later."),
    ] = 1,
    redundancy: Annotated[
        int, typer.Option("--redundancy", min=0, help="Codebooks of the packet before that each packet repeats.")
    ] = 0,
    channels: Channels = 1,
    loss: Annotated[float, typer.Option("--loss", min=0, max=1, help="Lose this share of packets, to try it.")] = 0.0,
    burst: Annotated[
        float | None, typer.Option("--burst", min=1, help="Lose so many packets in a row, on average.")
    ] = None,
    jitter_ms: Annotated[float, typer.Option("--jitter-ms", min=0, help="Delay packets at random, on average.")] = 0.0,
    seed: Annotated[int | None, typer.Option("--seed", help="Lose and delay the same packets each time.")] = None,
    model: Model = "default",
    as_json: Json = False,
) -> None:
    """Send sound over a network as it comes, in RTP packets over UDP; it is not encrypted (see docs/rtp.md).

    [dim]soundstream send talk.wav --to 192.0.2.7:5004[/dim] sends a file in real time.

    [dim]soundstream send --microphone --redundancy 4 --to studio.example:5004[/dim] talks over a bad network.

    [dim]arecord -f S16_LE -r 16000 | soundstream send - --to localhost:5004[/dim] sends what another program records.

    [dim]soundstream send talk.wav --to localhost:5004 --loss 0.1 --burst 3 --jitter-ms 20[/dim] tries a bad network.
    """
    host, port = _address(to)
    network = LossyLink(_loss(loss, burst), RandomDelay(jitter_ms / 1000), np.random.default_rng(seed))
    codec = load(model)
    with (
        _source(source, microphone, raw, channels) as sound,
        udp.connect(host, port) as sock,
        _stopping() as stopped,
        _shown("sending") as status,
        codec.open_encoder(
            sound.sample_rate,
            channels,
            packet_frames=packet_frames,
            redundancy=redundancy,
            **asdict(options),
        ) as encoder,
    ):
        packetizer = Packetizer(packet_frames * codec.spec.hop_length, form=Form(codec.model_id, channels))
        sender = udp.Sender(sock, packetizer, network)
        pieces = _watched(pipes.mix(sound, channels), lambda: status.update(_sent_line(sender.sent)))
        sent = udp.transmit(pieces, encoder, sender, paced=not microphone, stopped=stopped)
    messages.print(f"sent {sent.duration_s:.1f} s: {_sent_line(sent)}", highlight=False)
    if as_json:
        print(json.dumps({"model": codec.model_id.hex()} | asdict(sent), indent=2))


def receive(
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="UDP port to listen on; 0 is any free one.")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="OUTPUT", help="A file, or - for WAV on stdout as it comes.")
    ] = None,
    speaker: Annotated[bool, typer.Option("--speaker", help="Play it.")] = False,
    host: Annotated[
        str, typer.Option("--bind", metavar="ADDRESS", help="Address of this machine to listen on; :: is all of IPv6.")
    ] = "0.0.0.0",
    sender: Annotated[
        str | None, typer.Option("--from", metavar="ADDRESS", help="Listen to this numeric address only.")
    ] = None,
    sample_rate: Annotated[
        int | None, typer.Option("--sample-rate", help="Hz of the output, whatever the sender's; else the model's.")
    ] = None,
    channels: Channels = 1,
    idle_s: Annotated[
        float | None,
        typer.Option(
            "--idle-s",
            min=0.1,
            help="End when nothing came for so many seconds; by default 2, counted from the first packet on.",
        ),
    ] = None,
    model: Model = "default",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Receive sound that soundstream send sends; end when it does, or with Ctrl-C.

    [dim]soundstream receive --port 5004 -o talk.wav[/dim] records one stream.

    [dim]soundstream receive --port 5004 --speaker --from 192.0.2.3[/dim] plays what that machine sends.

    [dim]soundstream receive --port 5004 -o - | aplay[/dim] pipes it on as it comes.

    The first stream that arrives is taken, all else dropped. Lost packets are concealed.
    """
    _check_output(output, speaker, as_json)
    codec = load(model)
    reception = udp.Reception(
        codec.spec.sample_rate,
        idle_s=IDLE_S if idle_s is None else idle_s,
        min_s=PATIENT_S if output not in (None, "-") else PROMPT_S,
        sender=sender,
        form=Form(codec.model_id, channels),
        begins_s=None if idle_s is None else time.monotonic(),
    )
    rate = codec.spec.sample_rate if sample_rate is None else sample_rate
    with udp.listen(host, port) as sock, _stopping() as stopped, _sink(output, rate, channels, force) as sink:
        decoder = codec.open_decoder(sink.sample_rate, channels)
        receiver = udp.Receiver(sock, reception, decoder, stopped)
        address, own_port = sock.getsockname()[:2]
        messages.print(f"listening on {address} port {own_port}; Ctrl-C ends", highlight=False)
        with _shown("waiting for sound") as status:
            for pcm in receiver:
                sink.write(pcm)
                status.update(_received_line(reception.statistics))
        if not receiver.samples:
            raise CodecError(f"nothing was received; {_dropped(reception.statistics)}")
    duration_s = receiver.samples / sink.sample_rate
    messages.print(f"received {duration_s:.1f} s: {_received_line(reception.statistics)}", highlight=False)
    if as_json:
        print(json.dumps(_received(codec, reception.statistics, duration_s), indent=2))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise ConfigError(f"--to {text!r} is no address; expected HOST:PORT, such as 192.0.2.7:5004 or [::1]:5004")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _loss(rate: float, burst: float | None) -> LossModel:
    if burst is None:
        return RandomLoss(rate)
    if not rate:
        raise ConfigError("--burst says how losses come together; say how many with --loss")
    return GilbertLoss(rate, burst)


def _source(
    source: str | None, microphone: bool, raw: str | None, channels: int
) -> AbstractContextManager[pipes.Source]:
    if microphone == (source is not None):
        raise ConfigError("send what? give a file, - for stdin, or --microphone")
    if raw is not None and source is None:
        raise ConfigError("--raw is for headerless sound of a file or of stdin: give it, or - as INPUT")
    form = None if raw is None else audio.Raw.parse(raw, channels)
    if source is None:
        return devices.open_microphone()
    return pipes.open_stdin(form) if source == "-" else pipes.open_file(source, form)


def _check_output(output: str | None, speaker: bool, as_json: bool) -> None:
    if speaker == (output is not None):
        raise ConfigError("receive to where? give -o FILE, -o - for stdout, or --speaker")
    if output == "-":
        stdout()
    if output == "-" and as_json:
        raise ConfigError("--json and -o - both write to stdout; choose one")


class _Sink(NamedTuple):
    """Where received sound goes."""

    write: Callable[[Array], None]
    sample_rate: int


@contextmanager
def _sink(output: str | None, sample_rate: int, channels: int, force: bool) -> Iterator[_Sink]:
    audio.check_format(sample_rate, channels)
    if output is None:
        with devices.open_speaker(channels) as playback:
            yield _Sink(playback.write, playback.sample_rate)
    elif output == "-":
        yield _Sink(WavPipe(stdout(), sample_rate, channels).write, sample_rate)
    else:
        with audio.open_writer(output, sample_rate, channels, force) as writer:
            yield _Sink(writer.write, sample_rate)


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Says whether someone has pressed Ctrl-C, so that what was begun can be ended well; a second one breaks off."""
    pressed = threading.Event()

    def press(number: int, frame: object) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    before = {number: signal.signal(number, press) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pressed.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _shown(what: str) -> Status:
    """A line that changes, only where a person looks on."""
    return messages.status(what)


def _watched(pieces: Iterator[Array], look: Callable[[], None]) -> Iterator[Array]:
    for piece in pieces:
        yield piece
        look()


def _sent_line(sent: udp.Sent) -> str:
    parts = [f"{sent.packets} packets"]
    if sent.simulated_losses:
        parts.append(f"{sent.simulated_losses} lost on purpose")
    if sent.failed:
        parts.append(f"{sent.failed} refused by the system: does anybody listen there?")
    return ", ".join(parts)


def _received_line(counts: Statistics) -> str:
    parts = [
        f"{counts.received} packets",
        f"{counts.lost} lost ({counts.loss_rate:.1%})",
        f"{counts.late} late",
        f"jitter {counts.jitter_ms:.1f} ms",
        f"held {counts.depth_ms:.0f} ms",
    ]
    if counts.undecodable:
        parts.append(f"{counts.undecodable} not decodable: do both sides have the same --model and --channels?")
    return ", ".join(parts)


def _dropped(counts: Statistics) -> str:
    return f"{counts.foreign} packets of others and {counts.malformed} malformed datagrams were dropped"


def _received(codec: Codec, counts: Statistics, duration_s: float) -> dict[str, object]:
    summary = {"model": codec.model_id.hex(), "duration_s": round(duration_s, 3)}
    return summary | asdict(counts) | {"lost": counts.lost, "loss_rate": round(counts.loss_rate, 4)}
