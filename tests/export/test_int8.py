"""Matrix products in whole numbers follow those in float32, and only large ones change."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import tiny
from soundstream.export.int8 import with_int8_products
from soundstream.nn.graph import Graph


def products(inputs, outputs):
    """A linear layer's graph, and the same with whole numbers."""
    torch.manual_seed(0)
    layer, graph = nn.Linear(inputs, outputs), Graph("test")
    graph.input("x", 1, inputs)
    graph.node("Identity", [graph.linear(layer, "layer", "x")], "y")
    model = graph.finish("y", 1, "frames")
    return model, with_int8_products(model)


def run(model, x):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.parametrize(("inputs", "outputs"), [(256, 1024), (1024, 256), (64, 512)])
def test_whole_numbers_follow_float32_at_40_db(inputs, outputs):
    before, after = products(inputs, outputs)
    x = tiny.noise(3, 1, 1, inputs).numpy()
    expected, found = run(before, x), run(after, x)
    error_db = 10 * np.log10(np.square(expected - found).sum() / np.square(expected).sum())
    assert not np.array_equal(expected, found) and error_db < -40
    assert {node.op_type for node in after.graph.node} >= {"MatMulNBits"}


def test_one_row_gives_what_many_rows_give():
    _, model = products(256, 1024)
    x = tiny.noise(75, 1, 1, 256).numpy()
    np.testing.assert_array_equal(run(model, x), np.concatenate([run(model, row[None]) for row in x]))


@pytest.mark.parametrize(("inputs", "outputs"), [(64, 64), (600, 1024)])
def test_small_and_odd_matrices_stay(inputs, outputs):
    before, after = products(inputs, outputs)
    assert after.graph == before.graph


def test_matrices_are_held_once():
    before, after = products(256, 1024)
    assert after.ByteSize() < before.ByteSize() * 1.1
    assert not [weight.name for weight in after.graph.initializer if weight.name.endswith("int8")]
