"""Snakes folded into the convolutions around them: the same signal, in graphs of fewer passes."""

import pytest
import torch

from dac_weights import CONFIG
from onnx_layers import OnnxLayer
from soundstream.export.artifact import exportable
from soundstream.nn.families.dac import build
from soundstream.nn.layers.dilated import ResidualUnit
from soundstream.nn.layers.folding import FoldedSnake, fold_snakes
from soundstream.nn.layers.padded import PaddedConv, PaddedUpsample
from soundstream.nn.layers.snake import Snake
from soundstream.nn.streaming import Chain
from tiny import noise

ALPHAS = (0.0, -1.3, 1e-8, 2.5)


def chains():
    """Snakes with each kind of layer before and behind them."""
    return {
        "unit": ResidualUnit(4, dilation=3),
        "depthwise unit": ResidualUnit(4, dilation=1, groups=4),
        "strided": Chain(snake=Snake(4), down=PaddedConv(4, 6, kernel=4, stride=2)),
        "upsampling": Chain(snake=Snake(4), up=PaddedUpsample(4, 2, stride=3)),
        "conv before": Chain(first=PaddedConv(4, 4, kernel=3), snake=Snake(4), last=PaddedConv(4, 1, kernel=7)),
        "nothing behind": Chain(first=PaddedConv(4, 4, kernel=3), snake=Snake(4)),
    }


@pytest.fixture(params=chains())
def layer(request):
    torch.manual_seed(0)
    made = chains()[request.param].requires_grad_(False)
    for part in made.modules():
        if isinstance(part, Snake):
            part.alpha.copy_(torch.tensor(ALPHAS))
        elif isinstance(part, PaddedConv):
            part.bias.normal_()
    return made


def test_a_folded_layer_gives_the_same_signal_to_its_ends_whatever_its_alphas(layer):
    x = noise(2, 4, 1, 30, scale=3)
    expected = layer(x)
    fold_snakes(layer)
    for form in (layer, OnnxLayer(layer, 4)):
        torch.testing.assert_close(form.step(x, {})[0], expected, rtol=0, atol=2e-5)


def test_a_convolution_before_a_snake_takes_its_alpha_and_one_behind_divides():
    unit = ResidualUnit(4, dilation=1).requires_grad_(False)
    fold_snakes(unit)
    first, second = unit.branch.snake0, unit.branch.snake1
    assert isinstance(first, FoldedSnake) and isinstance(second, FoldedSnake)
    assert first.alpha is not None and second.alpha is None
    assert list(dict(unit.branch.layers())) == ["snake0", "conv0", "snake1", "conv1"]


def test_a_snake_with_nothing_behind_it_stays():
    chain = Chain(first=PaddedConv(4, 4, kernel=3), snake=Snake(4))
    fold_snakes(chain)
    assert isinstance(chain.snake, Snake)


def test_artifacts_of_dac_have_folded_snakes_and_the_model_keeps_its_own():
    model = build(CONFIG)
    stored = exportable(model)
    assert not [part for part in stored.modules() if isinstance(part, Snake)]
    assert len([part for part in model.modules() if isinstance(part, Snake)]) == 58
    audio = noise(1, 1, 6 * CONFIG.hop_length)
    torch.testing.assert_close(stored.encode(audio), model.eval().encode(audio), rtol=0, atol=1e-4)
