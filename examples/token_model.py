"""Train a small language model on the tokens of a folder of sound for some minutes, and let it make a WAV.

python examples/token_model.py recordings/ -o out --minutes 3

It needs `pip install 'soundstream-codec[train]'`. What comes out babbles: a model of two million parameters and some
minutes on a CPU are there to show how the parts go together.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from soundstream import audio, tokens
from soundstream.tokens import Delay, Detokenizer, TokenDataset, Tokens, Vocabulary

FRAMES = 150
"""Of a piece: two seconds with the default model."""
WIDTH, LAYERS, HEADS = 192, 3, 4
BATCH, LEARNING_RATE, WARMUP_STEPS = 4, 2e-3, 20
TEMPERATURE, TOP = 0.9, 100


class TokenModel(nn.Module):
    """All codebooks of a step at once: embeddings are added, a causal transformer, and a head for each codebook."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary, count = vocabulary, len(vocabulary.sizes)
        self.embeddings = nn.ModuleList(nn.Embedding(vocabulary.size, WIDTH) for _ in range(count))
        self.places = nn.Embedding(FRAMES + count, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.1, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.heads = nn.Linear(WIDTH, count * vocabulary.size)

    def forward(self, before: Tensor) -> Tensor:
        """Logits `[batch, num_quantizers, steps, size]`, given the tokens of the step before each."""
        steps = before.shape[-1]
        x = sum(table(row) for table, row in zip(self.embeddings, before.unbind(1), strict=True))
        x = x + self.places(torch.arange(steps))
        x = self.layers(x, nn.Transformer.generate_square_subsequent_mask(steps), is_causal=True)
        return self.heads(x).unflatten(-1, (before.shape[1], -1)).transpose(1, 2)

    def begin(self, batch: int) -> Tensor:
        """The step before the first one."""
        return torch.full((batch, len(self.vocabulary.sizes), 1), self.vocabulary.begin)


def main() -> None:
    """Tokenize, train, and make sound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path(__file__).parent / "clips")
    parser.add_argument("-o", "--output", type=Path, default=Path("out"))
    parser.add_argument("--minutes", type=float, default=3.0, help="of training")
    parser.add_argument("--seconds", type=float, default=6.0, help="of sound to make")
    args = parser.parse_args()
    torch.manual_seed(0)
    tokens.tokenize([args.data], args.output / "tokens", num_quantizers=4)
    opened = tokens.open(args.output / "tokens")
    print(f"{len(opened)} sounds, {opened.duration_s / 60:.1f} minutes of tokens")
    model = trained(opened, 60 * args.minutes)
    write(opened, model, args.output / "babble.wav", args.seconds)


def trained(opened: Tokens, seconds: float) -> TokenModel:
    """A model that was trained for so long."""
    pattern = Delay(Vocabulary.of(opened.spec, opened.num_quantizers, shared=False))
    dataset, model = TokenDataset(opened, pattern, FRAMES, min_frames=FRAMES // 3), TokenModel(pattern.vocabulary)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    end, step, losses = time.monotonic() + seconds, 0, []
    while time.monotonic() < end:
        for batch in DataLoader(dataset, BATCH, shuffle=True, collate_fn=dataset.collate):
            wanted = batch["tokens"]
            logits = model(torch.cat([model.begin(len(wanted)), wanted[..., :-1]], dim=-1))
            loss = F.cross_entropy(logits.flatten(0, -2), wanted.flatten(), ignore_index=pattern.vocabulary.pad)
            left = max(0.0, (end - time.monotonic()) / seconds)
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1, (step + 1) / WARMUP_STEPS) * left**0.5
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            losses.append(loss.item())
            if step % 20 == 0:
                print(f"step {step}: {np.mean(losses[-20:]) / math.log(2):.2f} bits a code, {60 * left:.0f} s left")
            if not left:
                break
    return model.eval()


@torch.no_grad()
def sampled(model: TokenModel, frames: int) -> Iterator[np.ndarray]:
    """Steps `[num_quantizers, 1]` of tokens, one after another."""
    count, past = len(model.vocabulary.sizes), model.begin(1)
    for step in range(frames + count - 1):
        logits = model(past[..., -FRAMES:])[0, :, -1, : model.vocabulary.pad] / TEMPERATURE
        logits[logits < logits.topk(TOP, dim=-1).values[:, -1:]] = -math.inf
        chosen = torch.multinomial(logits.softmax(-1), 1)
        late = step - torch.arange(count)
        chosen[(late < 0) | (late >= frames)] = model.vocabulary.pad
        past = torch.cat([past, chosen[None]], dim=-1)
        yield chosen.numpy()


def write(opened: Tokens, model: TokenModel, path: Path, seconds: float) -> None:
    """Sound of sampled tokens, written while they come."""
    codec = opened.codec()
    stream = Detokenizer(codec, Delay(model.vocabulary))
    with audio.open_writer(path, codec.spec.sample_rate, 1, force=True) as writer:
        for step in sampled(model, codec.spec.frames_in(seconds)):
            writer.write(stream.push(step))
        writer.write(stream.flush())
    print(f"Listen to {path}")


if __name__ == "__main__":
    main()
