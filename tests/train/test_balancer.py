import pytest
import torch

from soundstream.train.balancer import balanced_gradient
from tiny import noise

SHARES = {"a": 0.7, "b": 0.3}


def losses(audio, scale=1.0):
    return {"a": audio.square().sum(), "b": scale * (audio * noise(*audio.shape, seed=1)).sum()}


@pytest.fixture
def audio():
    return noise(3, 1, 50).requires_grad_()


def mean_norm(gradient):
    return float(gradient.flatten(1).norm(dim=1).mean())


@pytest.mark.parametrize("name", SHARES)
def test_a_loss_moves_the_audio_by_its_share_on_average(audio, name):
    gradient, _ = balanced_gradient({name: losses(audio)[name]}, SHARES, audio)
    assert mean_norm(gradient) == pytest.approx(SHARES[name], rel=1e-5)


def test_the_gradient_is_the_sum_of_the_shares(audio):
    parts = [balanced_gradient({name: loss}, SHARES, audio)[0] for name, loss in losses(audio).items()]
    torch.testing.assert_close(balanced_gradient(losses(audio), SHARES, audio)[0], sum(parts))


def test_the_direction_is_that_of_the_loss(audio):
    gradient, _ = balanced_gradient({"a": losses(audio)["a"]}, SHARES, audio)
    assert torch.cosine_similarity(gradient.flatten(), audio.detach().flatten(), dim=0) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_the_scale_of_a_loss_does_not_matter(audio, scale):
    expected, _ = balanced_gradient(losses(audio), SHARES, audio)
    torch.testing.assert_close(balanced_gradient(losses(audio, scale), SHARES, audio)[0], expected)


def test_a_louder_example_keeps_its_larger_part(audio):
    weight = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    gradient, _ = balanced_gradient({"a": (weight * audio).sum()}, {"a": 1.0}, audio)
    torch.testing.assert_close(gradient.flatten(1).norm(dim=1), torch.tensor([0.5, 1.0, 1.5]))


def test_norms_before_scaling_are_given_for_the_log(audio):
    _, norms = balanced_gradient(losses(audio), SHARES, audio)
    assert norms == pytest.approx(
        {"a": mean_norm(2 * audio.detach()), "b": mean_norm(noise(3, 1, 50, seed=1))}, rel=1e-5
    )


def test_a_loss_that_is_flat_adds_nothing(audio):
    gradient, _ = balanced_gradient({"a": (0 * audio).sum()}, SHARES, audio)
    assert (gradient == 0).all()
