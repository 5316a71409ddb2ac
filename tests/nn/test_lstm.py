"""The recurrent layer: its sum with the input, and its ONNX form; test_streaming.py has it in chunks."""

import pytest
import torch

from onnx_layers import OnnxLayer, in_chunks
from soundstream.nn.layers.lstm import Lstm
from tiny import noise

CHANNELS = 6


@pytest.fixture(params=[1, 2, 3])
def layer(request):
    torch.manual_seed(0)
    return Lstm(CHANNELS, request.param).eval().requires_grad_(False)


def test_what_is_remembered_is_added_to_the_input(layer):
    x = noise(2, CHANNELS, 1, 30, scale=1)
    remembered, _ = layer.lstm(x[:, :, 0].permute(2, 0, 1))
    torch.testing.assert_close(layer(x) - x, remembered.permute(1, 2, 0)[:, :, None], rtol=0, atol=1e-6)


@pytest.mark.parametrize("sizes", [[], [1, 1, 5], [29]], ids=str)
def test_onnx_runtime_computes_the_same_in_any_chunks(layer, sizes):
    x = noise(2, CHANNELS, 1, 30, scale=1)
    torch.testing.assert_close(in_chunks(OnnxLayer(layer, CHANNELS), x, sizes), layer(x), rtol=0, atol=1e-6)


def test_its_states_go_from_torch_to_onnx_runtime(layer):
    x, onnx = noise(2, CHANNELS, 1, 12, scale=1), OnnxLayer(layer, CHANNELS)
    _, state = layer.step(x[..., :7], layer.init_state(2))
    rest, _ = onnx.step(x[..., 7:], {f"layer.{name}": value.numpy() for name, value in state.items()})
    torch.testing.assert_close(rest, layer(x)[..., 7:], rtol=0, atol=1e-6)
