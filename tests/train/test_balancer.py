import pytest
import torch

from soundstream.train.losses.balancer import MIN_NORM, Balancer
from soundstream.train.losses.reconstruction import LossConfig
from tiny import noise

SHARES = {"a": 0.7, "b": 0.3}


def losses(audio, scale=1.0):
    return {"a": audio.square().sum(), "b": scale * (audio * noise(*audio.shape, seed=1)).sum()}


@pytest.fixture
def audio():
    return noise(3, 1, 50).requires_grad_()


def balanced(losses, audio, shares=SHARES, **settings):
    return Balancer(LossConfig(**settings)).gradient(losses, shares, audio)[0]


def mean_norm(gradient):
    return float(gradient.flatten(1).norm(dim=1).mean())


@pytest.mark.parametrize("name", SHARES)
def test_a_loss_moves_the_audio_by_its_share_on_average(audio, name):
    assert mean_norm(balanced({name: losses(audio)[name]}, audio)) == pytest.approx(SHARES[name], rel=1e-5)


def test_the_gradient_is_the_sum_of_the_shares(audio):
    parts = [balanced({name: loss}, audio) for name, loss in losses(audio).items()]
    torch.testing.assert_close(balanced(losses(audio), audio), sum(parts))


def test_the_direction_is_that_of_the_loss(audio):
    gradient = balanced({"a": losses(audio)["a"]}, audio)
    assert torch.cosine_similarity(gradient.flatten(), audio.detach().flatten(), dim=0) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e6])
@pytest.mark.parametrize("settings", [{}, {"balancer_decay": 0.9}, {"per_example": True}], ids=str)
def test_the_scale_of_a_loss_does_not_matter(audio, scale, settings):
    expected = balanced(losses(audio), audio, **settings)
    torch.testing.assert_close(balanced(losses(audio, scale), audio, **settings), expected)


def test_a_louder_example_keeps_its_larger_part(audio):
    weight = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    gradient = balanced({"a": (weight * audio).sum()}, audio, {"a": 1.0})
    torch.testing.assert_close(gradient.flatten(1).norm(dim=1), torch.tensor([0.5, 1.0, 1.5]))


def test_examples_count_alike_where_they_are_normalized_one_by_one(audio):
    weight = torch.tensor([1.0, 2.0, 0.0])[:, None, None]
    gradient = balanced({"a": (weight * audio).sum()}, audio, {"a": 0.5}, per_example=True)
    torch.testing.assert_close(gradient.flatten(1).norm(dim=1), torch.tensor([0.5, 0.5, 0.0]))


def test_an_example_with_next_to_no_gradient_is_not_blown_up(audio):
    weight = torch.tensor([1.0, 1.0, 1e-6])[:, None, None]
    gradient = balanced({"a": (weight * audio).sum()}, audio, {"a": 1.0}, per_example=True)
    assert gradient[2].norm() == pytest.approx(1e-6 / (MIN_NORM * 2 / 3), rel=1e-3)


def test_norms_before_scaling_are_given_for_the_log(audio):
    _, norms = Balancer(LossConfig()).gradient(losses(audio), SHARES, audio)
    assert {name: float(norm) for name, norm in norms.items()} == pytest.approx(
        {"a": mean_norm(2 * audio.detach()), "b": mean_norm(noise(3, 1, 50, seed=1))}, rel=1e-5
    )


def test_a_loss_that_is_flat_adds_nothing(audio):
    assert (balanced({"a": (0 * audio).sum()}, audio) == 0).all()


def test_examples_that_a_loss_does_not_hear_do_not_make_it_pull_harder(audio):
    heard = balanced({"a": audio[:2].square().sum()}, audio, {"a": 0.7})
    assert mean_norm(heard[:2]) == pytest.approx(0.7, rel=1e-5)
    assert (heard[2] == 0).all()


@pytest.mark.parametrize("settings", [{}, {"balancer_decay": 0.5}, {"balance": False}], ids=str)
def test_between_measurements_one_pass_gives_the_sum_by_the_last_norms(audio, settings):
    balancer = Balancer(LossConfig(**settings))
    assert not balancer.knows(SHARES)
    measured, norms = balancer.gradient(losses(audio), SHARES, audio)
    assert balancer.knows(SHARES)
    again, kept = balancer.gradient(losses(audio), SHARES, audio, measure=False)
    torch.testing.assert_close(again, measured)
    assert kept == norms
    louder, _ = balancer.gradient(losses(audio, scale=2.0), SHARES, audio, measure=False)
    assert mean_norm(louder) > 1.03 * mean_norm(measured)


def test_a_measurement_that_is_no_number_is_forgotten(audio):
    balancer = Balancer(LossConfig())
    balancer.gradient({"a": (audio * torch.nan).sum()}, {"a": 1.0}, audio)
    gradient, _ = balancer.gradient({"a": losses(audio)["a"]}, {"a": 0.7}, audio)
    assert mean_norm(gradient) == pytest.approx(0.7, rel=1e-5)


def test_norms_are_averaged_over_steps_by_the_decay(audio):
    balancer, weight, scales = Balancer(LossConfig(balancer_decay=0.5)), noise(3, 1, 50, seed=1), (1.0, 4.0, 10.0)
    for scale in scales:
        gradient, _ = balancer.gradient({"a": scale * (audio * weight).sum()}, {"a": 1.0}, audio)
    average = (10 + 0.5 * 4 + 0.25 * 1) / (1 + 0.5 + 0.25)
    assert mean_norm(gradient) == pytest.approx(10 / average, rel=1e-5)


def test_plain_weights_are_factors_of_the_losses_of_examples(audio):
    """Means over the batch count once for each example, so that parts of a batch add up to the whole."""
    mean = losses(audio)["a"] / 3
    torch.testing.assert_close(balanced({"a": mean}, audio, {"a": 0.5}, balance=False), 0.5 * 2 * audio.detach())
