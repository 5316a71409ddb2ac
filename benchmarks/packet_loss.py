"""Speech over networks that lose packets, beside Opus with its own concealment and redundancy at equal total rates.

    python -m benchmarks.packet_loss valid/speech -o docs/results/loss.json --picture docs/images/loss.png

The rate of a system is all that its packets hold, redundancy and heads included; what the transport adds is not. Those
with redundancy see the packet after a lost one before they give its sound, those without see nothing ahead.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from soundstream import audio
from soundstream.arrays import Array
from soundstream.codec import Codec, load
from soundstream.evaluate import clips
from soundstream.evaluate.align import find_delay
from soundstream.evaluate.codecs.opus import CallOpus
from soundstream.evaluate.metrics import measure, select
from soundstream.evaluate.provenance import provenance, write_report
from soundstream.evaluate.statistics import mean_of
from soundstream.live.network.simulate import GilbertLoss, LossModel, RandomLoss

Lost = NDArray[np.bool_]

METRICS = ("pesq", "stoi", "visqol-speech")
RATES = (0.0, 0.05, 0.1, 0.2, 0.3)
BURST_S = 0.06
"""Mean length of a burst of losses, alike for packets of any length."""
OPUS_PACKET_S = 0.02


class System(Protocol):
    """A codec in a call."""

    @property
    def packet_s(self) -> float:
        """Length of a packet's sound."""
        ...

    @property
    def adapts(self) -> bool:
        """Whether its packets depend on the loss they are made for."""
        ...

    def packets(self, pcm: Array, sample_rate: int, loss: float) -> list[bytes]:
        """Packets of pcm `[samples]`, made for a share of losses."""
        ...

    def decode(self, packets: Sequence[bytes], lost: Lost, sample_rate: int) -> Array:
        """Sound `[samples]` of those that are not lost."""
        ...


@dataclass(frozen=True)
class Own:
    """Live sessions of this package, one frame a packet."""

    codec: Codec
    bitrate: int
    """Nominal bit/s, without the copies and heads."""
    redundancy: int = 0

    adapts = False

    @property
    def packet_s(self) -> float:
        """Length of a packet's sound."""
        return self.codec.spec.hop_length / self.codec.spec.sample_rate

    def packets(self, pcm: Array, sample_rate: int, loss: float) -> list[bytes]:
        """Packets of pcm `[samples]`; the same for any loss."""
        encoder = self.codec.open_encoder(sample_rate, bitrate=self.bitrate, redundancy=self.redundancy)
        return encoder.push(pcm) + encoder.flush()

    def decode(self, packets: Sequence[bytes], lost: Lost, sample_rate: int) -> Array:
        """Sound `[samples]`; the packet after a lost one is seen where there is redundancy."""
        decoder = self.codec.open_decoder(sample_rate)
        came = [None if gone else packet for packet, gone in zip(packets, lost, strict=True)]
        ahead = [*came[1:], None] if self.redundancy else [None] * len(came)
        blocks = [decoder.push(packet, following) for packet, following in zip(came, ahead, strict=True)]
        return np.concatenate([*blocks, decoder.flush()], axis=1)[0]


@dataclass(frozen=True)
class Opus:
    """Opus as in calls."""

    bitrate: int
    """Nominal bit/s, with its redundancy."""
    redundant: bool = False

    packet_s = OPUS_PACKET_S

    @property
    def adapts(self) -> bool:
        """Whether its packets depend on the loss they are made for."""
        return self.redundant

    def packets(self, pcm: Array, sample_rate: int, loss: float) -> list[bytes]:
        """Packets of pcm `[samples]`; the encoder knows the loss where it has redundancy."""
        return self._opus(loss).packets(pcm[None], sample_rate)

    def decode(self, packets: Sequence[bytes], lost: Lost, sample_rate: int) -> Array:
        """Sound `[samples]`; the packet after a lost one is seen where there is redundancy."""
        pcm = self._opus(1.0).decode(packets, lost)
        return audio.resample(pcm[None], 48_000, sample_rate)[0]

    def _opus(self, loss: float) -> CallOpus:
        return CallOpus(self.bitrate, round(100 * loss) if self.redundant else 0)


class Network(NamedTuple):
    """How packets are lost."""

    losses: str
    """`random` or `bursts`."""
    rate: float

    def loss(self, packet_s: float) -> LossModel:
        """The same network for packets of any length."""
        return RandomLoss(self.rate) if self.losses == "random" else GilbertLoss(self.rate, BURST_S / packet_s)


NETWORKS = [Network(kind, rate) for kind in ("random", "bursts") for rate in RATES if rate or kind == "random"]


def systems(codec: Codec) -> dict[str, System]:
    """What is compared, by name: two groups of about equal rates; the higher allows Opus redundancy."""
    return {
        "6000": Own(codec, 6000),
        "4500+2": Own(codec, 4500, 2),
        "opus:7200": Opus(7200),
        "12000+8": Own(codec, 12_000, 8),
        "opus-fec:19200": Opus(19_200, True),
    }


def run(codec: Codec, chosen: Sequence[clips.Clip], names: Sequence[str]) -> dict[str, Any]:
    """Every system over every network; the report as plain data.

    Raises:
        CodecError: a package of the extra `eval` is not installed.
    """
    found: dict[tuple[str, Network], list[dict[str, float | None]]] = {}
    for seed, clip in enumerate(chosen):
        pcm, sample_rate = clips.read(clip)
        for name, system in systems(codec).items():
            for network, scores in _scores(system, pcm, sample_rate, seed, names).items():
                found.setdefault((name, network), []).append(scores)
    about = provenance(codec.model_id.hex(), f"{len(chosen)} clips of speech; bursts of {BURST_S} s on average")
    return {**about, "rows": [_row(name, network, scores) for (name, network), scores in found.items()]}


def _scores(
    system: System, pcm: Array, sample_rate: int, seed: int, names: Sequence[str]
) -> dict[Network, dict[str, float | None]]:
    """Of one clip, by network: each metric, the total rate and the share of packets that was lost."""
    expected = {network.rate if system.adapts else 0.0 for network in NETWORKS}
    made = {loss: system.packets(pcm, sample_rate, loss) for loss in expected}
    whole = made[0.0]
    late = find_delay(pcm, system.decode(whole, np.zeros(len(whole), bool), sample_rate), round(0.1 * sample_rate))
    scores = {}
    for network in NETWORKS:
        packets = made.get(network.rate, whole)
        lost = network.loss(system.packet_s).draw(len(packets), np.random.default_rng(seed))
        heard = np.pad(system.decode(packets, lost, sample_rate), (max(-late, 0), len(pcm)))[max(late, 0) :][: len(pcm)]
        bitrate = 8 * sum(map(len, packets)) / (len(packets) * system.packet_s)
        figures = {metric.name: measure(metric, pcm, heard, sample_rate) for metric in select(names)}
        scores[network] = {"bitrate": bitrate, "lost": float(lost.mean()), **figures}
    return scores


def _row(system: str, network: Network, scores: Sequence[dict[str, float | None]]) -> dict[str, Any]:
    values = {key: [value for one in scores if (value := one[key]) is not None] for key in scores[0]}
    means = {key: mean and asdict(mean) for key, found in values.items() for mean in (mean_of(found),)}
    return {"system": system, **network._asdict(), "means": means}


def main() -> None:
    """Measure, write the report and draw it."""
    parser = argparse.ArgumentParser(description="Measure speech over networks that lose packets.")
    parser.add_argument("folder", type=Path, help="clips of speech")
    parser.add_argument("--limit", type=int, help="most clips")
    parser.add_argument("--model", default="default")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    report = run(load(args.model), clips.find(args.folder, args.limit), METRICS)
    write_report(args.output, report)
    if args.picture:
        from benchmarks.loss_picture import draw

        draw(args.picture, report)


if __name__ == "__main__":
    main()
