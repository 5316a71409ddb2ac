"""Fits the entropy tables of an artifact: a small network in floats, trained on codes, then in whole numbers.

Source: ours; `soundstream.entropy.context` describes the network and the arithmetic that it must survive.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from soundstream import audio
from soundstream.entropy.bounds import LIMIT, PARTS
from soundstream.entropy.context import FRACTION_BITS, MAX_DIM, check_size, contexts, fixed_point, stacked
from soundstream.entropy.frequencies import LOGIT_UNITS, exponentials, frequencies
from soundstream.entropy.grid import Grid, Stack
from soundstream.entropy.tables import TABLES_FILE, Tables
from soundstream.errors import AudioError, ConfigError
from soundstream.runtime.artifact import load_artifact, write_manifest
from soundstream.runtime.model import Model
from soundstream.runtime.quantizer import DEFAULT_EFFORT
from soundstream.runtime.side import without_side
from soundstream.runtime.stream import LatentStream, new_code_stream
from soundstream.spec import CodecSpec

Codes = NDArray[np.integer]
REDUCED_DIM = 160
"""Numbers that stand for an entry where codebooks are wider than the context model takes."""
INPUT_UNITS = 32
"""An input of 1.0 in whole numbers."""
SEARCHED = (1 / 6, 1 / 3, 1.0)
"""Shares of the codebooks that the corpus is coded with, rounded down: of 24 codebooks those of 3, 6 and 18 kbit/s."""
MIN_CLIP_S = 10.0
"""Least audio taken of a file that has so much."""


Learn = Callable[[Sequence[Codes], NDArray[np.float32], "FitConfig", Callable[[int, float], None], Stack], Tables]
"""What `fit` does, or something in its place."""


@dataclass(frozen=True)
class FitConfig:
    """How long and how fast the tables learn."""

    hidden: int = 64
    """Units between inputs and logits; tables take about hidden x (codebook_size + 6 x latent_dim) bytes a codebook."""
    steps: int = 8000
    """Training steps."""
    crops: int = 8
    """Crops in a step."""
    crop_frames: int = 64
    """Frames of a crop, which starts as a packet does: without a past."""
    learning_rate: float = 3e-3
    """Of Adam at the first step; it falls to zero along half a cosine."""
    dropout: float = 0.05
    """Share of the inputs that training leaves out, so that small corpora are not learned by heart."""
    weight_decay: float = 1.0
    """Of the output weights that each code has for itself (AdamW); the others are shared by all codes."""
    seed: int = 0
    """Of the crops and of what is left out."""


class Predictor(nn.Module):
    """The context model in floats: logits of a codebook from what the decoder knows.

    Its output weights start from the codebook's own entries, so that similar entries share what is learned. Codebooks
    with fewer entries than the largest have counts of 0 behind their last one.
    """

    def __init__(
        self, codebooks: Float[Tensor, "codebooks size dim"], counts: Float[Tensor, "codebooks size"], hidden: int
    ) -> None:
        super().__init__()
        count, size, dim = codebooks.shape
        inputs = PARTS * dim
        self.sizes = (counts > 0).sum(1).tolist()
        spread = torch.stack([book[:n].std().clamp(min=1e-6) for book, n in zip(codebooks, self.sizes, strict=True)])
        self.entries = nn.Buffer(codebooks / spread[:, None, None])
        self.hidden = nn.Parameter(torch.randn(count, hidden, inputs) / math.sqrt(inputs))
        self.hidden_bias = nn.Parameter(torch.zeros(count, hidden))
        self.shared = nn.Parameter(torch.randn(count, dim, hidden) * 0.1 / math.sqrt(hidden))
        self.own = nn.Parameter(torch.zeros(count, size, hidden))
        self.bias = nn.Parameter((counts / counts.sum(1, keepdim=True)).clamp(min=1e-12).log())

    def output(self, q: int) -> Float[Tensor, "size hidden"]:
        """Output weights of codebook q."""
        used = slice(self.sizes[q])
        return self.entries[q, used] @ self.shared[q] + self.own[q, used]

    def active(self, inputs: Float[Tensor, "rows inputs"], q: int) -> Float[Tensor, "rows hidden"]:
        """Hidden units of codebook q."""
        return functional.relu(functional.linear(inputs, self.hidden[q], self.hidden_bias[q]))

    def forward(self, inputs: Float[Tensor, "rows inputs"], q: int) -> Float[Tensor, "rows size"]:
        """Logits of codebook q."""
        return functional.linear(self.active(inputs, q), self.output(q), self.bias[q, : self.sizes[q]])


def vector_shifts(codebooks: NDArray[np.float32]) -> NDArray[np.int32]:
    """Bits by which the entries of each codebook are scaled to fill the range of an input."""
    largest = np.quantile(np.abs(fixed_point(codebooks)), 0.999, axis=(1, 2)).clip(min=1)
    return np.ceil(np.log2(largest / LIMIT)).astype(np.int32)


def fit(
    codes: Sequence[Codes],
    codebooks: NDArray[np.float32],
    config: FitConfig | None = None,
    progress: Callable[[int, float], None] = lambda step, bits: None,
    stack: Stack = (),
) -> Tables:
    """Fit tables to the codes of a corpus; the same for the same input on the same machine.

    Args:
        codes: `[num_quantizers, frames]`, arrays with all codebooks of the model among them. Codes that were searched
            for in fewer codebooks are not the first ones of a search in all: a crop with n codebooks is drawn from the
            clips that have the least number above.
        codebooks: `[num_quantizers, codebook_size, latent_dim]`.
        progress: called after every step with the step and its mean bits of a code.
        stack: bits and strides of the codebooks where they are not alike; such codes stand in all frames that they
            cover.
    Raises:
        ConfigError: there are no codes, or the hidden units are too many for exact sums.
    """
    config = config or FitConfig()
    check_size(config.hidden)
    own = codebooks.shape[2] > MAX_DIM
    codebooks = reduced(codebooks, REDUCED_DIM) if own else codebooks
    codes = [clip for clip in codes if clip.shape[1]]
    if not any(len(clip) == len(codebooks) for clip in codes):
        raise ConfigError("there are no codes to fit entropy tables to; give audio files")
    grid = Grid(codebooks.shape[1].bit_length() - 1, stack)
    counts = counted([clip for clip in codes if len(clip) == len(codebooks)], codebooks.shape[1], grid)
    torch.manual_seed(config.seed)
    predictor = Predictor(torch.from_numpy(codebooks), torch.from_numpy(counts), config.hidden)
    shifts = vector_shifts(codebooks)
    _train(predictor, codes, codebooks, shifts, grid, config, progress)
    sample = draw(codes, config, np.random.default_rng(config.seed + 1), codebooks.shape[0], grid)
    strides = grid.strides(len(codebooks)).tolist()
    tables = rounded(predictor, counts, shifts, list(contexts(fixed_point(codebooks), shifts, sample, strides)))
    return dataclasses.replace(tables, vectors=fixed_point(codebooks).astype(np.int16)) if own else tables


def reduced(codebooks: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """Entries `[num_quantizers, codebook_size, dim]` in the directions in which those of all codebooks differ most.

    Codebooks count alike, however small the entries of the last ones are. Values are parts of 1 / 2^11.
    """
    alike = codebooks / codebooks.std((1, 2), keepdims=True).clip(1e-6)
    _, directions = np.linalg.eigh(np.einsum("qcd,qce->de", alike, alike, dtype=np.float64))
    vectors = codebooks @ directions[:, : -dim - 1 : -1].astype(np.float32)
    return np.ldexp(fixed_point(vectors).astype(np.float32), -FRACTION_BITS)


def counted(codes: Sequence[Codes], size: int, grid: Grid) -> NDArray[np.float32]:
    """How often each code came `[codebooks, size]`, half a time more so that none is impossible; 0 where none is."""
    joined = np.concatenate(codes, axis=1)
    firsts = [row[:: grid.stride(q)] for q, row in enumerate(joined)]
    counts = np.stack([np.bincount(row, minlength=size) + 0.5 for row in firsts]).astype(np.float32)
    if not grid.is_plain:
        counts[np.arange(size) >= grid.sizes(len(counts))[:, None]] = 0
    return counts


def _train(
    predictor: Predictor,
    codes: Sequence[Codes],
    codebooks: NDArray[np.float32],
    shifts: NDArray[np.int32],
    grid: Grid,
    config: FitConfig,
    progress: Callable[[int, float], None],
) -> None:
    rng, vectors = np.random.default_rng(config.seed), fixed_point(codebooks)
    strides = grid.strides(len(codebooks)).tolist()
    optimizer, schedule = optimized(predictor, config)
    for step in range(config.steps):
        crops = draw(codes, config, rng, int(rng.integers(1, len(codebooks) + 1)), grid)
        nats = 0.0
        optimizer.zero_grad()
        for q, known in enumerate(contexts(vectors, shifts, crops, strides)):
            logits = predictor(functional.dropout(as_floats(known), config.dropout), q)
            wanted = crops[:, q, :: strides[q]].ravel().astype(np.int64)
            loss = functional.cross_entropy(logits, torch.from_numpy(wanted))
            loss.backward()  # type: ignore[no-untyped-call]
            nats += loss.item()
        optimizer.step()
        schedule.step()
        progress(step + 1, nats / crops.shape[1] / math.log(2))


def optimized(
    predictor: Predictor, config: FitConfig
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW and the fall of its rate; only weights that each code has for itself decay."""
    shared = [parameter for parameter in predictor.parameters() if parameter is not predictor.own]
    groups: list[dict[str, Any]] = [{"params": shared, "weight_decay": 0.0}, {"params": [predictor.own]}]
    optimizer = torch.optim.AdamW(groups, config.learning_rate, (0.9, 0.99), weight_decay=config.weight_decay)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)


def draw(
    codes: Sequence[Codes], config: FitConfig, rng: np.random.Generator, num_quantizers: int, grid: Grid
) -> NDArray[np.int16]:
    """Crops `[crops, num_quantizers, crop_frames]` of clips drawn by their length; short clips repeat themselves.

    A crop begins with codes of all codebooks, and holds them as a whole.
    """
    frames = -(-config.crop_frames // grid.granule) * grid.granule
    least = min(len(clip) for clip in codes if len(clip) >= num_quantizers)
    codes = [clip for clip in codes if len(clip) == least]
    lengths = np.array([clip.shape[1] for clip in codes], np.float64)
    chosen = rng.choice(len(codes), config.crops, p=lengths / lengths.sum())
    crops = []
    for clip in (codes[i] for i in chosen):
        start = int(rng.integers(0, max(1, clip.shape[1] - frames + 1))) // grid.granule * grid.granule
        crops.append(np.take(clip[:num_quantizers], range(start, start + frames), axis=1, mode="wrap"))
    return np.stack(crops)


def as_floats(known: NDArray[np.int8]) -> Float[Tensor, "rows inputs"]:
    return torch.from_numpy(known).float() / INPUT_UNITS


@torch.no_grad()
def rounded(
    predictor: Predictor, counts: NDArray[np.float32], shifts: NDArray[np.int32], known: Sequence[NDArray[np.int8]]
) -> Tables:
    """The predictor in whole numbers.

    Args:
        known: inputs for each codebook, from which the range of its hidden units is taken.
    """
    columns = [_rounded_codebook(predictor, q, known[q]) for q in range(len(known))]
    names = ("hidden_weights", "hidden_biases", "hidden_shifts", "output_weights", "output_biases", "output_shifts")
    arrays = {name: _stacked(column) for name, column in zip(names, zip(*columns, strict=True), strict=True)}
    table = exponentials()
    static = [_frequencies(row[:size], table) for row, size in zip(counts, predictor.sizes, strict=True)]
    return Tables(_stacked(static), table, shifts, **arrays)


def _frequencies(counts: NDArray[np.float32], table: NDArray[np.int32]) -> NDArray[np.int32]:
    """Frequencies `[size]` without any context."""
    logits = np.rint(LOGIT_UNITS * np.log(counts)).astype(np.int32)
    return frequencies(logits[None], table)[0].astype(np.int32)


def _stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays of all codebooks in one; zeros stand for the entries that smaller ones lack."""
    if not arrays[0].ndim:
        return np.stack(arrays)
    size = max(len(array) for array in arrays)
    return np.stack([np.pad(a, [(0, size - len(a)), *[(0, 0)] * (a.ndim - 1)]) for a in arrays])


def _rounded_codebook(predictor: Predictor, q: int, known: NDArray[np.int8]) -> tuple[np.ndarray, ...]:
    """Weights, biases and shift of the hidden units, then of the logits."""
    active = predictor.active(as_floats(known), q).numpy()
    scale = LIMIT / max(float(np.quantile(active, 0.9999)), 1e-3)
    hidden = _rounded_layer(predictor.hidden[q].numpy(), predictor.hidden_bias[q].numpy(), INPUT_UNITS, scale)
    biases = predictor.bias[q, : predictor.sizes[q]].numpy()
    return *hidden, *_rounded_layer(predictor.output(q).numpy(), biases, scale, LOGIT_UNITS)


def _rounded_layer(
    weights: np.ndarray, biases: np.ndarray, units_in: float | int, units_out: float | int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whole weights, biases and a shift that give units_out x (weights . x + biases) of whole units_in x x.

    A weight is scaled by units_out x 2^shift / units_in, with the largest shift that keeps it within int8.
    """
    room = LIMIT * units_in / (units_out * max(float(np.abs(weights).max()), 1e-9))
    shift = min(20, max(0, math.floor(math.log2(room))))
    scale = units_out * 2.0**shift
    half = (1 << shift) // 2
    whole = np.clip(np.rint(weights * scale / units_in), -LIMIT, LIMIT).astype(np.int8)
    return whole, (np.rint(biases * scale) + half).clip(-(2**29), 2**29).astype(np.int32), np.array(shift, np.int32)


def fit_artifact(
    folder: Path,
    data: Sequence[Path],
    minutes: float = 360.0,
    config: FitConfig | None = None,
    say: Callable[[str], None] = lambda text: None,
    learn: Learn = fit,
) -> str:
    """Fit tables to audio, put them into an artifact and seal it anew; returns its new model id in hexadecimal.

    Args:
        folder: the artifact; tables that it has are replaced.
        data: folders of audio files, or such files.
        minutes: audio to code at most, spread over all files and evenly over their folders.
        say: told what is done, some lines in all.
        learn: what makes tables of the codes.
    Raises:
        ArtifactError: there is no such artifact.
        ConfigError: there is no audio that can be read.
    """
    artifact, config = load_artifact(folder), config or FitConfig()
    check_size(config.hidden)
    model = Model(artifact)
    codes = list(corpus_codes(model, spread(data), minutes, say))
    whole = [clip.shape[1] for clip in codes if len(clip) == artifact.spec.num_quantizers]
    say(f"coded {sum(whole) / artifact.spec.frame_rate / 60:.1f} minutes of {len(whole)} files")
    stack = artifact.spec.stack(artifact.spec.num_quantizers)
    tables = learn(codes, stacked(model.quantizer.codebooks), config, tenths(say, config.steps), stack)
    tables.save(folder / TABLES_FILE)
    return write_manifest(folder)


def spread(data: Sequence[Path]) -> list[Path]:
    """Audio files in an order in which each folder has its turn, so that any beginning of the list is a fair sample."""
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for place in data:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix.lower() in audio.SUFFIXES:
                by_folder[path.parent].append(path)
    rng = np.random.default_rng(0)
    shuffled = [[paths[i] for i in rng.permutation(len(paths))] for _, paths in sorted(by_folder.items())]
    return [path for row in zip_longest(*shuffled) for path in row if path]


def corpus_codes(
    model: Model, files: Sequence[Path], minutes: float, say: Callable[[str], None] = lambda text: None
) -> Iterator[Codes]:
    """Codes `[num_quantizers, frames]` of the middle of each file, found as files' codes are, until there is enough.

    They come once for each number of codebooks that SEARCHED says.
    """
    clip_s = max(MIN_CLIP_S, 60 * minutes / max(1, len(files)))
    left_s = 60 * minutes
    for path in files:
        if left_s <= 0:
            return
        try:
            pcm = middle(path, clip_s, model.spec)
        except AudioError as error:
            say(f"not used: {path}: {error}")
            continue
        encoder, most = LatentStream(model, len(pcm)), model.spec.num_quantizers
        latents = np.concatenate([encoder.push(pcm), encoder.flush()], axis=2)
        left_s -= latents.shape[2] / model.spec.frame_rate
        for count in sorted({max(1, math.floor(most * share)) for share in SEARCHED}):
            rows = new_code_stream(model, 1, DEFAULT_EFFORT).whole(latents, count, DEFAULT_EFFORT)[0]
            codes, _ = without_side(rows, model.spec.side_numbers)
            yield codes.astype(np.int16 if model.spec.codebook_bits < 16 else np.int32)


def middle(path: Path, seconds: float, spec: CodecSpec, place: float = 0.5) -> NDArray[np.float32]:
    """The first channel of the middle of a file `[1, samples]`, or as many as are coded together.

    Args:
        place: share of what is not taken that lies before.
    """
    with audio.open_reader(path) as reader:
        first = max(0, ((reader.num_samples or 0) / reader.sample_rate - seconds) * place)
        blocks = [block[: spec.channels] for block in islice(reader, int(first), int(first + math.ceil(seconds)))]
        channels = min(spec.channels, reader.channels)
        pcm = np.concatenate([np.zeros((channels, 0), np.float32), *blocks], axis=1)
        return audio.resample(pcm, reader.sample_rate, spec.sample_rate)


def _bits(mean: float) -> str:
    return f"{mean:.2f} bits a code"


def tenths(
    say: Callable[[str], None], steps: int, told: Callable[[float], str] = _bits
) -> Callable[[int, float], None]:
    """Tell of each tenth of the steps what its mean value says."""
    recent: list[float] = []

    def progress(step: int, value: float) -> None:
        recent.append(value)
        if step * 10 // steps > (step - 1) * 10 // steps:
            say(f"step {step} of {steps}: {told(sum(recent) / len(recent))}")
            recent.clear()

    return progress
