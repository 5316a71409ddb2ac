"""Convolution with reflected ends, in PyTorch and ONNX Runtime, beside padding by PyTorch's own reflection."""

import pytest
import torch
from torch.nn import functional

from onnx_layers import OnnxLayer, in_chunks
from soundstream.nn.layers.reflected import ReflectedConv
from tiny import noise

KERNELS = [(7, 1, 1), (3, 1, 1), (3, 1, 2), (4, 2, 1), (10, 5, 1), (16, 8, 1)]
"""Kernel, stride, dilation."""
CHANNELS = 3


@pytest.fixture(params=KERNELS, ids=str)
def conv(request):
    torch.manual_seed(0)
    layer = ReflectedConv(CHANNELS, CHANNELS, *request.param)
    layer.bias.data.normal_()
    return layer.eval().requires_grad_(False)


@pytest.fixture(params=["torch", "onnx"])
def layer(request, conv):
    return conv if request.param == "torch" else OnnxLayer(conv, CHANNELS)


def padded(conv, x):
    """As EnCodec pads: both sides reflected, with zeros behind a signal that is too short for it."""
    left, extra = conv.left_samples, -x.shape[-1] % conv.stride
    missing = max(0, max(left, extra) + 1 - x.shape[-1])
    whole = functional.pad(functional.pad(x[:, :, 0], (0, missing)), (left, extra), mode="reflect")
    return whole[..., : whole.shape[-1] - missing][:, :, None]


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 2, 3, 5, 6, 7, 8, 9, 15, 16, 17, 41])
def test_ends_are_reflected_and_short_signals_filled_up_with_zeros(conv, layer, samples):
    x = noise(2, CHANNELS, 1, samples, scale=1)
    expected = conv.product(padded(conv, x))
    found, _ = layer.step(x, layer.init_state(2))
    assert found.shape[-1] == -(-samples // conv.stride)
    same(found, expected)


@pytest.mark.parametrize("rest", [0, 1, 2])
def test_any_chunks_equal_the_whole_once_the_first_covers_the_reflection(conv, layer, rest):
    first = -(-(conv.left_samples + 1) // conv.stride) * conv.stride
    x = noise(2, CHANNELS, 1, first + 6 * conv.stride + rest, scale=1)
    expected = conv.product(padded(conv, x))
    for sizes in ([first], [first, *[conv.stride] * 6], [first, 3 * conv.stride, 2 * conv.stride]):
        same(in_chunks(layer, x, sizes[: None if rest else -1]), expected)


def test_a_short_first_chunk_takes_zeros_for_what_has_not_come(conv, layer):
    x = noise(1, CHANNELS, 1, 3 * conv.stride, scale=1)
    found = in_chunks(layer, x, [conv.stride, conv.stride])
    same(found[..., :1], conv.product(padded(conv, x[..., : conv.stride])))
    assert found.shape[-1] == 3


def test_signals_of_a_batch_start_by_themselves(conv):
    x, state = noise(2, CHANNELS, 1, 40, scale=1), conv.init_state(2)
    _, begun = conv.step(x[..., :20].flip(0), conv.init_state(2))
    mixed = {name: torch.cat([value[:1], begun[name][1:]]) for name, value in state.items()}
    same(conv.step(x, mixed)[0][:1], conv(x)[:1])
    assert not torch.allclose(conv.step(x, mixed)[0][1:], conv(x)[1:], atol=1e-3)
