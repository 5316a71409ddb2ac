"""Tensors of a file that others published, each used exactly once, and the layers that they fill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from soundstream.errors import ArtifactError, InputError
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.snake import Snake
from soundstream.nn.quantize import ResidualVectorQuantizer

ADVICE = "give the file that was published, whole: .safetensors, .th or .bin"
SHOWN = 6
"""Names of tensors in one message at most."""


WRAPPED = {"state_dict", "metadata"}
"""What files have that hold tensors by name, and plain data beside them, as those of DAC."""
MODEL = "model"
"""Where files of a training run have the tensors of a model; what is beside it, as of optimizers, is passed over."""
EXTRA_STATE = "_extra_state"
"""End of the names under which torch keeps what a module says of itself beside its tensors."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of one that `torch.save` wrote; nothing in it is executed.

    Raises:
        InputError: it cannot be opened.
        ArtifactError: it holds something else than tensors by name, and tensors and plain data beside them.
    """
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    try:
        tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # bytes of any kind make the unpickler fail in any way
        raise ArtifactError(f"{path} holds no weights, or more than weights; {ADVICE}") from error
    tensors = _unwrapped(tensors)
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ArtifactError(f"{path} holds something else than tensors by name; {ADVICE}")
    return tensors


def _unwrapped(data: object) -> object:
    """What stands for the tensors of the model in a file, without what modules say of themselves in plain words."""
    if not isinstance(data, dict):
        return data
    others = {name: value for name, value in data.items() if name != MODEL}
    if set(data) == WRAPPED and _is_plain(data["metadata"]):
        data = data["state_dict"]
    elif isinstance(data.get(MODEL), dict) and _is_plain(others, Tensor):
        data = data[MODEL]
    if not isinstance(data, dict):
        return data
    return {name: value for name, value in data.items() if not (str(name).endswith(EXTRA_STATE) and _is_plain(value))}


def _is_plain(data: object, *more: type) -> bool:
    """Whether it is nothing but words, numbers, `more`, and lists and dictionaries of them."""
    if isinstance(data, dict):
        return all(_is_plain(item, *more) for item in (*data, *data.values()))
    if isinstance(data, list | tuple):
        return all(_is_plain(item, *more) for item in data)
    return data is None or isinstance(data, (str, int, float, *more))


class Weights:
    """Published tensors, taken one by one by the names that `replacements` make of theirs.

    Args:
        replacements: parts of names, and what stands in their place, in turn.
    """

    def __init__(self, tensors: dict[str, Tensor], replacements: Sequence[tuple[str, str]] = ()) -> None:
        self._tensors, self._published = {}, {}
        for name, tensor in tensors.items():
            ours = name
            for theirs, instead in replacements:
                ours = ours.replace(theirs, instead)
            self._tensors[ours], self._published[ours] = tensor, name

    def take(self, name: str, shape: Iterable[int]) -> Tensor:
        """A tensor in float32, which nobody else takes.

        Raises:
            ArtifactError: it is not there, or has another shape.
        """
        if name not in self._tensors:
            raise ArtifactError(f"the weights lack {name}; they are of another model, or not complete")
        tensor = self._tensors.pop(name)
        if tensor.shape != torch.Size(shape):
            expected = f"expected {list(shape)}: these are weights of another model"
            raise ArtifactError(f"{self._published[name]} is {list(tensor.shape)}; {expected}")
        return tensor.float()

    def take_normalized(self, name: str, shape: Sequence[int]) -> Tensor:
        """A kernel, with its weight normalization `g * v / |v|` over all dimensions but the first folded into it.

        It is computed in float64, so that it is the same on any machine, and with it the model id.

        Source: weight normalization (Salimans and Kingma, 2016).
        """
        if f"{name}_v" not in self._tensors:
            return self.take(name, shape)
        direction = self.take(f"{name}_v", shape).double()
        size = self.take(f"{name}_g", (shape[0], 1, 1)).double()
        return (direction * (size / direction.norm(dim=(1, 2), keepdim=True))).float()

    def drop(self, name: str) -> None:
        """Leave out a tensor that says nothing of the model, if it is there."""
        self._tensors.pop(name, None)

    def finish(self) -> None:
        """Refuse what nothing has taken.

        Raises:
            ArtifactError: there is such a tensor.
        """
        left = sorted(self._published[name] for name in self._tensors)
        if left:
            more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
            raise ArtifactError(
                f"{len(left)} tensors have no place in this model: {', '.join(left[:SHOWN])}{more}; "
                "these are weights of another model"
            )


@torch.no_grad()
def fill_conv(conv: CausalConv, weights: Weights, name: str, bias: bool = True) -> None:
    """Kernel and bias of a convolution, published as `[out, in, kernel]`; or a bias of zero where they have none."""
    outputs, inputs, _, kernel = conv.weight.shape
    conv.weight[:, :, 0] = weights.take_normalized(f"{name}.weight", (outputs, inputs, kernel))
    conv.bias.copy_(weights.take(f"{name}.bias", (outputs,)) if bias else torch.zeros(outputs))


@torch.no_grad()
def fill_upsample(conv: CausalConv, stride: int, weights: Weights, name: str, bias: bool = True) -> None:
    """A transposed convolution, published as `[in, out / groups, 2 stride]`, as one of kernel 2 with an output a phase.

    Of an input its own hop gets one half of the kernel, the next hop the other. One of several groups is depthwise.
    """
    outputs = len(conv.weight) // stride
    kernel = weights.take_normalized(f"{name}.weight", (conv.in_channels, outputs // conv.groups, 2 * stride))
    kernel = kernel.transpose(0, 1) if conv.groups > 1 else kernel
    own, following = (half.permute(1, 2, 0).flatten(0, 1) for half in kernel.chunk(2, dim=2))
    conv.weight.copy_(torch.stack([following, own], dim=-1)[:, :, None])
    biases = weights.take(f"{name}.bias", (outputs,)) if bias else torch.zeros(outputs)
    conv.bias.copy_(biases.repeat_interleave(stride))


@torch.no_grad()
def fill_snake(snake: Snake, weights: Weights, name: str) -> None:
    """Alphas, published as `[1, channels, 1]`."""
    snake.alpha.copy_(weights.take(f"{name}.alpha", (1, len(snake.alpha), 1)).flatten())


@torch.no_grad()
def fill_factored(quantizer: ResidualVectorQuantizer, weights: Weights, name: str) -> None:
    """Entries and projections of factorised codebooks, published as convolutions of kernel 1, by number."""
    parts = {
        "in_proj": (quantizer.project_in, quantizer.bias_in),
        "out_proj": (quantizer.project_out, quantizer.bias_out),
    }
    for i, entries in enumerate(quantizer.codebooks):
        for part, (kernels, biases) in parts.items():
            kernels[i] = weights.take_normalized(f"{name}.{i}.{part}.weight", (*kernels[i].shape, 1))[..., 0]
            biases[i] = weights.take(f"{name}.{i}.{part}.bias", biases[i].shape)
        entries.copy_(weights.take(f"{name}.{i}.codebook.weight", entries.shape))
    quantizer.sums.copy_(quantizer.codebooks * quantizer.usage[..., None])
