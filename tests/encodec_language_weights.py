"""A narrow language model of EnCodec: random weights by the published names, and files that it codes."""

import json
import struct

import numpy as np
import torch

WIDTH = 16
LAYERS = 2


def published(codebooks, seed=0):
    """Random, the same on any machine. Models for 24 kHz have 32 codebooks, for 48 kHz 16."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, torch.Tensor] = {}

    def add(name, *shape, scale=1.0, around=0.0):
        tensors[name] = torch.from_numpy(rng.normal(around, scale, shape).astype(np.float32))

    def add_norm(name):
        add(f"{name}.weight", WIDTH, scale=0.2, around=1)
        add(f"{name}.bias", WIDTH, scale=0.2)

    def add_linear(name, outputs, inputs, scale=0.3):
        add(f"{name}.weight", outputs, inputs, scale=scale)
        add(f"{name}.bias", outputs, scale=0.3)

    add_norm("transformer.norm_in")
    for i in range(LAYERS):
        layer = f"transformer.layers.{i}"
        add(f"{layer}.self_attn.in_proj_weight", 3 * WIDTH, WIDTH, scale=0.4)
        add(f"{layer}.self_attn.in_proj_bias", 3 * WIDTH, scale=0.3)
        add_linear(f"{layer}.self_attn.out_proj", WIDTH, WIDTH)
        add_linear(f"{layer}.linear1", 4 * WIDTH, WIDTH)
        add_linear(f"{layer}.linear2", WIDTH, 4 * WIDTH)
        add_norm(f"{layer}.norm1")
        add_norm(f"{layer}.norm2")
    for k in range(codebooks):
        add(f"emb.{k}.weight", 1025, WIDTH)
        add_linear(f"linears.{k}", 1024, WIDTH)
    return tensors


class Coder:
    """The writer's arithmetic coder: bytes of one segment."""

    def __init__(self):
        self.low, self.high, self.length, self.bits = 0, 0, 0, []

    def push(self, code, ends):
        while self.high - self.low + 1 < 1 << 24:
            self.low, self.high, self.length = 2 * self.low, 2 * self.high + 1, self.length + 1
        width, start = self.high - self.low + 1, int(ends[code - 1]) if code else 0
        self.high = self.low + ((int(ends[code]) - 1) * width >> 24)
        self.low += -(-start * width >> 24)
        kept = (self.low ^ self.high).bit_length()
        self._write(kept)
        self.high &= (1 << kept) - 1

    def finish(self):
        self._write(0)
        return np.packbits(np.array(self.bits, np.uint8), bitorder="little").tobytes()

    def _write(self, kept):
        """All bits of `low` but the last `kept`."""
        self.bits += [self.low >> place & 1 for place in reversed(range(kept, self.length))]
        self.low, self.length = self.low & (1 << kept) - 1, kept


def coded(model, ecdc):
    """A file that the language model codes, with the probabilities of this machine."""
    facts = {"m": ecdc.kind.name, "al": ecdc.num_samples, "nc": len(ecdc.codes), "lm": True}
    header = json.dumps(facts).encode()
    data, place = [b"ECDC\0", len(header).to_bytes(4, "big"), header], 0
    for i, frames in enumerate(ecdc.kind.frames(ecdc.num_samples)):
        coder, table, last = Coder(), model.start(ecdc.kind, len(ecdc.codes)), None
        for frame in ecdc.codes.T[place : place + frames]:
            for code, ends in zip(frame, table(last), strict=True):
                coder.push(int(code), ends)
            last = frame
        data += [struct.pack(">f", ecdc.gains[i])] if ecdc.kind.has_gains else []
        data.append(coder.finish())
        place += frames
    return b"".join(data)
