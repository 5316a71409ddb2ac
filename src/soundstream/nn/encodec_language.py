"""EnCodec's language model: probabilities of the next frame's codes, of which its own coder made `.ecdc` files.

A file is read only where every probability comes out as it did for the writer, in steps of 1e-8. So the operations and
their order are those of the original, on one frame at a time: none is merged, moved or done for several frames at once.

    codes of the frame before + 1, 0 for none yet -> sum of an embedding each -> norm -> + place -> layers -> a softmax
    for each codebook

Source: Défossez et al., 2022, section 3.3; facebookresearch/encodec, `encodec/model.py` and `modules/transformer.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from soundstream.bitstream.ecdc import ENTRIES, HOP, Kind
from soundstream.bitstream.ecdc_arithmetic import TOTAL_BITS
from soundstream.errors import ArtifactError, ModelMismatch
from soundstream.nn.weights import ADVICE, Weights, read_tensors

HEADS = 8
LONGEST_PERIOD = 10_000
WINDOW_S = 3.5
"""Of the past that a frame sees."""
ROUNDING = 1e-8
LEAST_SHARE = 2


class Layer(nn.Module):
    """Attention and feed-forward, norms after each; parameters have the names of the published file.

    Args:
        width: channels, a multiple of `HEADS`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """A frame `[1, 1, width]`, and what it sees, itself at the end, `[1, frames, width]`."""
        hidden = torch.zeros(1, seen.shape[1], dtype=torch.bool)  # none is; but without a mask the sums are others
        x = self.norm1(x + self.self_attn(x, seen, seen, attn_mask=hidden, need_weights=False)[0])
        return self.norm2(x + self.linear2(functional.gelu(self.linear1(x))))


class Transformer(nn.Module):
    """Layers, and a norm and the frame's place before them.

    Args:
        width: channels.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.width = width
        self.norm_in = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(layers))

    def init_past(self) -> list[Tensor]:
        """What each layer knows at first: one frame of zeros."""
        return [torch.zeros(1, 1, self.width) for _ in self.layers]

    def step(self, x: Tensor, place: int, past: list[Tensor], window: int) -> tuple[Tensor, list[Tensor]]:
        """A frame `[1, 1, width]`, and each layer's inputs before it, of which the last `window` are kept."""
        x, after = self.norm_in(x) + place_vector(place, self.width), []
        for layer, before in zip(self.layers, past, strict=True):
            seen = torch.cat([before, x], dim=1)
            after.append(seen[:, -window:])
            x = layer(x, seen)
        return x, after


class EncodecLanguageModel(nn.Module):
    """The network, which knows frames one by one.

    Args:
        width: channels.
        layers: of the transformer.
        codebooks: the most that a file may have.
    """

    def __init__(self, width: int, layers: int, codebooks: int) -> None:
        super().__init__()
        self.transformer = Transformer(width, layers)
        self.emb = nn.ModuleList(nn.Embedding(ENTRIES + 1, width) for _ in range(codebooks))
        self.linears = nn.ModuleList(nn.Linear(width, ENTRIES) for _ in range(codebooks))

    def start(self, kind: Kind, count: int) -> Callable[[NDArray[np.int64] | None], NDArray[np.int64]]:
        """Begin a segment of `count` codebooks.

        Returns:
            What gives the table of the next frame, `[codebooks, entries]`, for the codes of the one before,
            `[codebooks]`, or None at first.
        Raises:
            ModelMismatch: the weights are of the other model.
        """
        if len(self.emb) != kind.max_codebooks:
            raise ModelMismatch(
                f"the language model has {len(self.emb)} codebooks, that of {kind.name} {kind.max_codebooks}; "
                "give the other one's weights"
            )
        return Segment(self, int(WINDOW_S * kind.sample_rate / HOP), count).table

    def embedded(self, codes: Tensor) -> Tensor:
        """Codes of a frame from 1 on, `[codebooks]`, as one vector `[1, 1, width]`."""
        total = torch.zeros(())
        for embedding, code in zip(self.emb, codes, strict=False):
            total = total + embedding(code.view(1, 1))
        return total

    def probabilities(self, x: Tensor, count: int) -> Tensor:
        """Of each entry of `count` codebooks, `[entries, codebooks]`."""
        logits = torch.stack([head(x) for head in self.linears[:count]], dim=1).permute(0, 3, 1, 2)
        return torch.softmax(logits, dim=1)[0, :, :, 0]


class Segment:
    """What a language model knows of a segment.

    Args:
        window: frames before its own that a frame sees. What is before the first frame counts as one, of zeros.
    """

    def __init__(self, model: EncodecLanguageModel, window: int, count: int) -> None:
        self.model, self.window, self.count = model, window, count
        self.place, self.past = 0, model.transformer.init_past()

    @torch.no_grad()
    def probabilities(self, codes: NDArray[np.int64] | None) -> Tensor:
        """Of the next frame, `[entries, codebooks]`, for the codes of the one before, or None at first."""
        x = self.model.embedded(torch.from_numpy(np.zeros(self.count, np.int64) if codes is None else codes + 1))
        x, self.past = self.model.transformer.step(x, self.place, self.past, self.window)
        self.place += 1
        return self.model.probabilities(x, self.count)

    def table(self, codes: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """Where the shares of the next frame's codes end, `[codebooks, entries]`."""
        return shares(self.probabilities(codes)).numpy()


def place_vector(place: int, width: int) -> Tensor:
    """Cosines, then sines, of a frame's number at rising periods, `[1, 1, width]`."""
    steps = torch.arange(width // 2).view(1, 1, -1)
    phase = torch.tensor(place).view(1, 1, 1) / LONGEST_PERIOD ** (steps / (width // 2 - 1))
    return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)


def shares(probabilities: Tensor) -> Tensor:
    """Where the share of each entry in 2^24 ends; each has at least two.

    Args:
        probabilities: `[entries, codebooks]`.
    Returns:
        int64 `[codebooks, entries]`.
    """
    rounded = (probabilities / ROUNDING).floor() * ROUNDING
    total = 1 << TOTAL_BITS
    free = (1 - LEAST_SHARE * len(probabilities) / total) * total
    return ((free * rounded).floor().long() + LEAST_SHARE).cumsum(dim=0).T


def read_language_model(path: Path) -> EncodecLanguageModel:
    """The model of a published file; its width, layers and codebooks are those of the tensors.

    Raises:
        InputError: it cannot be opened.
        ArtifactError: it holds other tensors than those of such a model.
    """
    tensors = read_tensors(path)
    first = tensors.get("emb.0.weight", torch.zeros(0))
    if first.ndim != 2 or first.shape[1] < HEADS or first.shape[1] % HEADS:
        raise ArtifactError(f"{path} holds no weights of EnCodec's language model; {ADVICE}")
    with torch.device("meta"):
        layers = _count(tensors, "transformer.layers.{}.norm1.weight")
        model = EncodecLanguageModel(first.shape[1], layers, _count(tensors, "emb.{}.weight"))
    weights = Weights(tensors)
    taken = {name: weights.take(name, like.shape) for name, like in model.state_dict().items()}
    weights.finish()
    model.load_state_dict(taken, assign=True)
    return model.eval()


def _count(tensors: dict[str, Tensor], name: str) -> int:
    """Numbers from 0 on that make the name one of a tensor."""
    return next(i for i in range(len(tensors) + 1) if name.format(i) not in tensors)
