import pytest
import torch

import tiny
from soundstream.train.steps.ema import FOLLOWED, Average


def moved(seed):
    """The tiny model with other weights and codebooks."""
    model = tiny.model(seed)
    for name, value in model.state_dict().items():
        value.add_(0.1 * torch.randn_like(value)) if "quantizer" in name else None
    return model


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.99])
def test_a_step_follows_the_formula(decay):
    start, new = tiny.model(), moved(1)
    average = Average(start)
    average.update(new, decay)
    found, a, b = average.model.state_dict(), start.state_dict(), new.state_dict()
    for name in found:
        expected = b[name] if name in FOLLOWED else decay * a[name] + (1 - decay) * b[name]
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6)


def test_a_model_that_stays_is_its_own_average():
    model = tiny.model()
    average = Average(model)
    for _ in range(20):
        average.update(model, 0.9)
    for name, value in average.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-5, atol=1e-6)


def test_the_model_that_is_followed_stays_as_it_is():
    model = tiny.model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average = Average(model)
    average.update(moved(1), 0.5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_average_comes_back():
    average = Average(tiny.model())
    average.update(moved(1), 0.8)
    other = Average(tiny.model(3))
    other.load({name: value.clone() for name, value in average.state().items()}, moved(1))
    found = other.model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in average.model.state_dict().items())


@pytest.mark.parametrize("start", ["restart", "load nothing"])
def test_a_fresh_average_is_the_model_as_it_is(start):
    average, model = Average(tiny.model()), moved(1)
    average.restart(model) if start == "restart" else average.load({}, model)
    found = average.model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in model.state_dict().items())
