"""Masks of codebooks by importance: hard steps forward, smooth ones back."""

import math

import pytest
import torch

from soundstream.nn.config import QuantizerForm
from soundstream.nn.importance import SHARPNESS, Sigmoid, drawn_use, stepped
from soundstream.nn.quantize import ResidualVectorQuantizer
from soundstream.spec import Importance

TOLD = Importance(0.125, 6.0)


def test_the_step_is_hard_and_its_slope_is_that_of_the_smooth_one():
    x = torch.linspace(-3, 3, 61, dtype=torch.float64).requires_grad_()
    y = stepped(x)
    torch.testing.assert_close(y, (x >= 0).double(), rtol=0, atol=1e-12)
    y.sum().backward()
    a = SHARPNESS
    smooth = [math.log(math.cosh(a * (v + 0.5)) / math.cosh(a * (v - 0.5))) / (2 * a) + 0.5 for v in x.tolist()]
    slopes = torch.gradient(torch.tensor(smooth, dtype=torch.float64), spacing=0.1)[0]
    torch.testing.assert_close(x.grad[1:-1], slopes[1:-1], rtol=0, atol=0.01)
    assert x.grad[30] == x.grad.max() and x.grad[0] < 1e-4


def test_the_smooth_step_is_finite_far_away():
    x = torch.tensor([-1e6, 1e6], requires_grad=True)
    y = stepped(x)
    y.sum().backward()
    assert y.tolist() == [0, 1] and x.grad.tolist() == [0, 0]


def test_frames_have_codebooks_up_to_a_count_and_examples_of_all_have_all():
    torch.manual_seed(0)
    importance = torch.rand(64, 1, 9)
    counts = torch.where(torch.arange(64) < 16, 8, 3)
    use = drawn_use(importance, counts, 8, TOLD)
    assert use.mask.shape == (64, 8, 9) and set(use.mask.unique().tolist()) == {0, 1}
    assert use.mask[:16].all() and use.mask[:, 0].all()
    assert (use.mask[:, :-1] >= use.mask[:, 1:]).all()
    torch.testing.assert_close(use.rate, importance[16:].mean((1, 2)).sum())
    levels = (use.mask[16:].sum(1) - 1) / (8 * importance[16:, 0])
    assert levels.max() <= 6 and 1 < use.mask[16:].sum(1).float().mean() < 8


def test_levels_differ_between_examples():
    torch.manual_seed(0)
    use = drawn_use(torch.full((32, 1, 1), 0.2), torch.full((32,), 3), 8, TOLD)
    assert len(use.mask.sum(1).unique()) > 4


@pytest.mark.parametrize("form", [QuantizerForm(), QuantizerForm(width=2, cosine=True)], ids=["plain", "factored"])
def test_the_gradient_of_what_is_decoded_reaches_the_importance(form):
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(4, 8, 6, form).eval()
    latents, mask = torch.randn(2, 6, 5), torch.ones(2, 4, 5)
    mask[:, 2:, 1] = 0
    mask.requires_grad_()
    found = quantizer(latents, torch.tensor([4, 4]), mask)
    pull = torch.randn(2, 6, 5)
    (found.latents * pull).sum().backward()
    outputs = quantizer._outputs()
    entries = torch.stack([outputs[q][found.codes[:, q]] for q in range(4)], dim=1)
    torch.testing.assert_close(mask.grad, torch.einsum("bqfd,bdf->bqf", entries, pull), rtol=1e-4, atol=1e-5)
    kept = (entries * mask.detach()[..., None]).sum(1).transpose(1, 2)
    torch.testing.assert_close(found.latents, kept, rtol=0, atol=1e-5)
    assert found.commitment > 0


def test_without_a_mask_examples_have_their_counts():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(4, 8, 6, QuantizerForm(width=2, cosine=True))
    latents, counts = torch.randn(2, 6, 5), torch.tensor([1, 3])
    mask = (torch.arange(4) < counts[:, None]).float()[..., None].expand(2, 4, 5)
    one, other = quantizer.eval()(latents, counts), quantizer(latents, torch.tensor([4, 4]), mask)
    torch.testing.assert_close(one.latents, other.latents)
    torch.testing.assert_close(one.commitment, other.commitment)


def test_a_sigmoid_is_one():
    assert Sigmoid()(torch.zeros(1, 1, 1, 1)).item() == 0.5
