"""Snake beside its formula, in PyTorch and in ONNX Runtime."""

import torch

from onnx_layers import OnnxLayer
from soundstream.nn.layers.snake import Snake
from tiny import noise


def snake(*alphas):
    layer = Snake(len(alphas))
    layer.alpha.data = torch.tensor(alphas)
    return layer.requires_grad_(False)


def test_a_snake_is_its_formula_with_an_alpha_a_channel():
    alphas, x = (0.3, -1.0, 2.5), noise(2, 3, 1, 50, scale=3)
    layer, a = snake(*alphas), torch.tensor(alphas)[:, None, None]
    expected = x + torch.sin(a * x) ** 2 / a
    for form in (layer, OnnxLayer(layer, 3)):
        torch.testing.assert_close(form.step(x, {})[0], expected, rtol=0, atol=1e-6)


def test_an_alpha_of_zero_is_the_identity():
    layer, x = snake(0.0, 1.0), noise(1, 2, 1, 20, scale=3)
    for form in (layer, OnnxLayer(layer, 2)):
        y, state = form.step(x, {})
        assert torch.equal(y[:, 0], x[:, 0]) and not torch.equal(y[:, 1], x[:, 1]) and not state


def test_alphas_learn():
    layer = Snake(4)
    layer(noise(1, 4, 1, 20, scale=3)).sum().backward()
    assert layer.alpha.grad.all()
