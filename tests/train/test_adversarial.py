import pytest
import torch

from soundstream.train.adversarial.discriminators import DiscriminatorConfig, DiscriminatorOutput, build
from soundstream.train.adversarial.losses import adversarial_losses, discriminator_loss, feature_loss, generator_loss
from tiny import noise


def judged(*logits, features=()):
    """One judgement for each list of logits, of a batch of one."""
    return [DiscriminatorOutput(torch.tensor([[values]]), [torch.tensor([[f]]) for f in features]) for values in logits]


@pytest.fixture
def discriminators():
    torch.manual_seed(0)
    return build(DiscriminatorConfig(channels=4, windows=(256, 128)), sample_rate=24_000)


@pytest.mark.parametrize(
    ("real", "fake", "loss"),
    [
        ([[0.0, 0.0]], [[0.0, 0.0]], 2),
        ([[1.0, 3.0]], [[-1.0, -5.0]], 0),
        ([[0.5, 2.0]], [[-1.0, 1.0]], 0.25 + 1),
        ([[1.0], [0.0, 0.0]], [[-1.0], [0.0, 0.0]], 1),
    ],
    ids=["blind", "certain", "mixed", "two discriminators count alike whatever their size"],
)
def test_hinge_loss_of_the_discriminators(real, fake, loss):
    assert float(discriminator_loss(judged(*real), judged(*fake))) == pytest.approx(loss)


@pytest.mark.parametrize(
    ("fake", "loss"), [([[0.0]], 1), ([[1.0, 4.0]], 0), ([[-1.0, 1.0]], 1), ([[2.0], [-2.0, -2.0]], 1.5)]
)
def test_hinge_loss_of_the_generator(fake, loss):
    assert float(generator_loss(judged(*fake))) == pytest.approx(loss)


def test_feature_loss_by_hand():
    real = judged([0.0], features=[[1.0, -3.0], [10.0]])
    fake = judged([0.0], features=[[2.0, -3.0], [15.0]])
    assert float(feature_loss(real, fake, relative=False)) == pytest.approx((0.5 + 5) / 2)
    assert float(feature_loss(real, fake, relative=True)) == pytest.approx((0.5 / 2 + 5 / 10) / 2, rel=1e-3)


@pytest.mark.parametrize("relative", [True, False])
def test_equal_clips_have_no_feature_loss(discriminators, relative):
    x = noise(2, 1, 1024)
    assert feature_loss(discriminators(x), discriminators(x), relative) == 0
    assert feature_loss(discriminators(x), discriminators(noise(2, 1, 1024, seed=1)), relative) > 0.1


def test_features_of_silence_do_not_divide_by_zero(discriminators):
    silence, x = torch.zeros(1, 1, 1024), noise(1, 1, 1024, scale=1e-4).requires_grad_()
    loss = feature_loss(discriminators(silence), discriminators(x), relative=True)
    loss.backward()
    assert loss < 1
    assert x.grad.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("relative", [True, False])
def test_the_halves_of_a_batch_average_to_the_whole(discriminators, relative):
    x, y = noise(4, 1, 1024), noise(4, 1, 1024, seed=1)
    x[0] *= 0.01
    whole = adversarial_losses(discriminators, x, y, relative)
    halves = [adversarial_losses(discriminators, x[i : i + 2], y[i : i + 2], relative) for i in (0, 2)]
    for total, parts in zip(whole, zip(*halves, strict=True), strict=True):
        assert float(total) == pytest.approx(float(sum(parts)) / 2, rel=1e-4)


def test_feature_loss_leaves_the_real_side_alone():
    real = torch.ones(1, 1, 4, requires_grad=True)
    fake = torch.zeros(1, 1, 4, requires_grad=True)
    feature_loss([DiscriminatorOutput(real, [real])], [DiscriminatorOutput(fake, [fake])]).backward()
    assert real.grad is None
    assert (fake.grad < 0).all()


def test_losses_of_half_precision_logits_are_exact():
    low = [DiscriminatorOutput(torch.full((1, 1, 1000), 0.25, dtype=torch.bfloat16), [])]
    assert generator_loss(low) == 0.75
    assert generator_loss(low).dtype == torch.float32


def test_one_pass_gives_the_gradients_of_separate_passes(discriminators):
    target, decoded = noise(2, 1, 1024), noise(2, 1, 1024, seed=1).requires_grad_()
    weights = list(discriminators.parameters())
    losses = adversarial_losses(discriminators, target, decoded)
    (generator,) = torch.autograd.grad(losses.adversarial + losses.feature, decoded, retain_graph=True)
    losses.discriminator.backward(inputs=weights)
    assert decoded.grad is None

    own = discriminator_loss(discriminators(target), discriminators(decoded.detach()))
    for weight, expected in zip(weights, torch.autograd.grad(own, weights), strict=True):
        torch.testing.assert_close(weight.grad, expected)
    fake = discriminators(decoded)
    separate = generator_loss(fake) + feature_loss(discriminators(target), fake)
    torch.testing.assert_close(generator, *torch.autograd.grad(separate, decoded))


def test_following_the_adversarial_gradient_misleads(discriminators):
    target, decoded = noise(2, 1, 1024), noise(2, 1, 1024, seed=1).requires_grad_()
    for loss in ("adversarial", "feature"):
        before = getattr(adversarial_losses(discriminators, target, decoded), loss)
        (gradient,) = torch.autograd.grad(before, decoded)
        moved = decoded - 0.01 * gradient / gradient.norm()
        assert getattr(adversarial_losses(discriminators, target, moved), loss) < before
