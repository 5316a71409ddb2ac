import dataclasses
import itertools
import math

import pytest
import torch

import tiny
from soundstream.train import checkpoint as ckpt
from soundstream.train.losses.reconstruction import LossConfig
from tiny import learner

OFFSETS = {"encoder.last.bias", "project.bias", "film.beta"}
"""Added to all latents of a channel alike, which the normalizer takes out again: they have no gradient."""
ADVERSARIAL = {"adversarial_from_step": 1, "total_steps": 8}
"""Discriminators from step 1, followed from step 2."""


def parameters(learner):
    return {name: p.detach().clone() for name, p in learner.model.named_parameters()}


def differing(a, b):
    """Names of tensors that differ between two states."""
    assert a.keys() == b.keys()
    return {name for name in a if not torch.equal(a[name], b[name])}


def figures(made):
    return {name: float(value) for name, value in made.step().items()}


# a step


def test_offsets_of_the_latents_have_no_gradient():
    made = learner()
    made.step()
    gradients = {name: float(p.grad.norm()) for name, p in made.model.named_parameters()}
    assert gradients["film.gamma"] > 1e-3
    assert all(gradients[name] < 1e-4 * gradients["film.gamma"] for name in OFFSETS & set(gradients))


@pytest.mark.parametrize("codec", tiny.CONFIGS, ids=lambda codec: codec.family)
@pytest.mark.parametrize("phase", [{}, {"quantize_from_step": 0}, ADVERSARIAL], ids=["start", "codes", "adversarial"])
def test_a_step_keeps_every_figure_finite_and_moves_every_parameter_that_has_a_gradient(codec, phase):
    made = learner(codec=codec, **phase)
    for _ in range(3 if phase == ADVERSARIAL else 1):
        before = parameters(made)
        entry = figures(made)
    assert all(math.isfinite(value) for value in entry.values())
    codec = {name: p for name, p in made.model.named_parameters() if not name.startswith("denoiser")}
    assert {name for name, p in codec.items() if p.grad is None or not p.grad.any()} <= OFFSETS
    after = parameters(made)
    assert {name for name in codec if torch.equal(before[name], after[name])} <= OFFSETS
    assert all(value.isfinite().all() for value in after.values())


def test_a_step_in_bf16_learns_nearly_what_one_in_fp32_does():
    """Spectral: PyTorch 2.13 on CPUs with AMX gets the tiny SEANet's strided convolution of 16 channels wrong."""
    a, b = (figures(learner(precision, codec=tiny.SPECTRAL)) for precision in ("fp32", "bf16"))
    assert b == pytest.approx(a, rel=0.1)
    assert a != b


def test_without_crops_that_ask_for_it_the_denoise_switch_stays_as_it_was():
    made = learner(codec=tiny.SPECTRAL)
    before = parameters(made)
    made.step()
    after = parameters(made)
    assert all(torch.equal(before[name], after[name]) for name in after if name.startswith("denoiser"))
    assert (after["film.gamma"][:, 0] != 1).any()
    assert (after["film.gamma"][:, 1] == 1).all()
    assert (after["film.beta"][:, 1] == 0).all()


def test_a_trunk_stays_as_it_is_until_its_step_and_then_learns():
    made = learner(codec=tiny.TRUNK, trunk_from_step=2, total_steps=8, quantize_from_step=8)
    trunk = {name for name, _ in made.model.named_parameters() if ".trunk." in name}
    states = [parameters(made)]
    for _ in range(4):
        made.step()
        states.append(parameters(made))
    moved = [differing(a, b) & trunk for a, b in itertools.pairwise(states)]
    assert moved[:2] == [set(), set()]
    assert moved[2] == {name for name in trunk if ".shrink." in name}  # the first step is from zero
    assert moved[3] == trunk


def test_figures_name_each_loss_and_its_gradient():
    reconstruction = {
        *("waveform", "mel", "mel_relative", "mel_log", "commitment"),
        *("gradient_norm", "gradient_waveform", "gradient_mel"),
    }
    own = {"discriminator", "gradient_norm_discriminator"}
    followed = {"adversarial", "feature", "gradient_adversarial", "gradient_feature"}
    made = learner(**ADVERSARIAL)
    assert [set(made.step()) for _ in range(3)] == [
        reconstruction,
        reconstruction | own,
        reconstruction | own | followed,
    ]


def test_the_codebooks_start_by_k_means_at_their_step():
    made = learner(quantize_from_step=1)
    start = made.model.quantizer.codebooks.clone()
    assert figures(made)["commitment"] == 0
    assert torch.equal(made.model.quantizer.codebooks, start)
    assert figures(made)["commitment"] > 0
    assert not torch.equal(made.model.quantizer.codebooks, start)


@pytest.mark.parametrize("codec", tiny.CONFIGS, ids=lambda codec: codec.family)
def test_a_few_steps_learn_a_batch_by_heart(monkeypatch, codec):
    optimizer = dataclasses.replace(tiny.RUN.optimizer, learning_rate=1e-2)
    loss = LossConfig(shift_steps=(100, 200))
    made = learner(codec=codec, total_steps=30, quantize_from_step=5, loss=loss, optimizer=optimizer)
    batch = made.crops.draw(0)
    monkeypatch.setattr(made.crops, "draw", lambda step: batch)
    losses = [figures(made)["waveform"] for _ in range(15)]
    assert min(losses[-5:]) < 0.7 * losses[0]


# the average


def test_the_average_follows_the_model():
    made = learner(ema_decay=0.9)
    start = parameters(made)
    made.step()
    mean, new = dict(made.average.model.named_parameters()), parameters(made)
    for name in start:
        torch.testing.assert_close(mean[name].data, start[name] * 2 / 11 + new[name] * 9 / 11)


def test_the_average_is_what_is_validated():
    assert (made := learner(ema_decay=0.9)).best_model is made.average.model
    assert (made := learner(ema_decay=0.0)).best_model is made.model


# discriminators


def test_the_adversarial_phase_trains_the_discriminators_and_then_the_generator():
    with_critic, without = learner(**ADVERSARIAL), learner(total_steps=8, adversarial_from_step=8)
    assert without.critic is None
    states = []
    for _ in range(3):
        with_critic.step()
        without.step()
        state = {k: v.clone() for k, v in with_critic.critic.discriminators.state_dict().items()}
        states.append((state, differing(parameters(with_critic), parameters(without))))
    (first, same), (second, still), (third, other) = states
    assert same == still == set()
    assert len(other) > 0.9 * len(parameters(without))
    assert len(differing(first, second)) > 0.9 * len(first)
    assert len(differing(second, third)) > 0.9 * len(first)


def test_discriminators_rest_between_their_steps():
    made = learner(discriminator_every=2, **(ADVERSARIAL | {"discriminator_warmup_steps": 0}))
    assert ["discriminator" in made.step() for _ in range(6)] == [False, False, True, False, True, False]


@pytest.mark.parametrize("codec", tiny.CONFIGS, ids=lambda codec: codec.family)
def test_discriminators_hear_a_random_part_of_each_crop(monkeypatch, codec):
    made = learner(codec=codec, discriminator_crop_frames=20, **ADVERSARIAL)
    heard, judge = [], made.critic.discriminators.forward
    monkeypatch.setattr(made.critic.discriminators, "forward", lambda audio: heard.append(audio) or judge(audio))
    for _ in range(4):
        made.step()
    assert {audio.shape for audio in heard} == {(2, 1, 20 * codec.hop_length)}
    starts = set()
    for step, real in zip((1, 2, 3), heard[::2], strict=True):
        windows = made.crops.draw(step).target.unfold(-1, 20 * codec.hop_length, codec.hop_length)[:, 0]
        starts |= {i for i in range(windows.shape[1]) if torch.equal(windows[:, i], real[:, 0])}
    assert len(starts) > 1


def test_discriminators_learn_to_tell_real_from_decoded(monkeypatch):
    settings = dataclasses.replace(tiny.RUN.optimizer, discriminator_learning_rate=1e-2)
    made = learner(total_steps=40, adversarial_from_step=0, discriminator_warmup_steps=40, optimizer=settings)
    losses = [figures(made)["discriminator"] for _ in range(8)]
    assert losses[-1] < 0.7 * losses[0]


# state

RUNS = {
    "quantizer from 0, no average": {"quantize_from_step": 0, "ema_decay": 0.0},
    "from 1, balancer": {"quantize_from_step": 1, "loss": LossConfig(balancer_decay=0.9, shift_steps=(1, 3))},
    "from 2, where it is resumed": {"quantize_from_step": 2},
    "from 3, adversarial": {**ADVERSARIAL, "quantize_from_step": 3, "discriminator_crop_frames": 20},
}


@pytest.mark.parametrize("run", RUNS)
def test_four_steps_equal_two_saved_and_resumed_two(tmp_path, run):
    whole, first, resumed = (learner(**RUNS[run]) for _ in range(3))
    entries = [figures(whole) for _ in range(4)]
    again = [figures(first), figures(first)]
    ckpt.save(tmp_path / "checkpoint", first.state())
    assert resumed.restore(ckpt.load(tmp_path / "checkpoint")) == []
    again += [figures(resumed), figures(resumed)]
    assert again == entries
    for part in ckpt.PARTS:
        assert differing(getattr(whole.state(), part), getattr(resumed.state(), part)) == set()
    assert resumed.progress == whole.progress


def test_a_portable_state_goes_on_nearly_as_it_would_have(tmp_path):
    whole, resumed = learner(**ADVERSARIAL), learner(**ADVERSARIAL)
    for _ in range(4):
        whole.step()
    ckpt.save(tmp_path / "small", ckpt.portable(whole.state()))
    resumed.restore(ckpt.load(tmp_path / "small"))
    assert resumed.progress == whole.progress
    assert figures(resumed) == pytest.approx(figures(whole), rel=0.2)


def test_a_compact_state_is_warmed_up_again(tmp_path):
    first, resumed = learner(**ADVERSARIAL), learner(**ADVERSARIAL)
    for _ in range(3):
        first.step()
    ckpt.save(tmp_path / "small", ckpt.compact(first.state()))
    remarks = resumed.restore(ckpt.load(tmp_path / "small"))
    assert any("no moments" in remark for remark in remarks)
    resumed.step()
    rate = tiny.RUN.optimizer.learning_rate / tiny.RUN.optimizer.warmup_steps
    assert resumed.optimizer.param_groups[0]["lr"] == pytest.approx(rate)
    assert resumed.progress.discriminator_fresh_from == 3
    trained = first.critic.discriminators.state_dict(), resumed.critic.discriminators.state_dict()
    assert all(torch.allclose(a, b, atol=0.02) for a, b in zip(*(x.values() for x in trained), strict=True))


def test_other_discriminators_than_those_of_the_state_start_afresh():
    first = learner(**ADVERSARIAL)
    first.step()
    wider = dataclasses.replace(tiny.RUN.discriminator, channels=6)
    resumed = learner(discriminator=wider, **ADVERSARIAL)
    before = {k: v.clone() for k, v in resumed.critic.discriminators.state_dict().items()}
    assert any("discriminators start afresh" in remark for remark in resumed.restore(first.state()))
    assert differing(before, resumed.critic.discriminators.state_dict()) == set()


def test_the_adversarial_phase_can_begin_in_a_branch(tmp_path):
    plain = learner()
    for _ in range(3):
        plain.step()
    branch = learner(total_steps=9, adversarial_from_step=0)
    branch.restore(plain.state())
    assert [("discriminator" in entry, "feature" in entry) for entry in (branch.step(), branch.step())] == [
        (True, False),
        (True, True),
    ]


@pytest.mark.parametrize(("power", "mean"), [(1.0, 12.5), (2.0, 8.5)])
def test_quantizer_dropout_uses_few_codebooks_the_more_often_the_higher_its_power(power, mean):
    codec = dataclasses.replace(tiny.CONFIG, num_quantizers=24)
    config = dataclasses.replace(tiny.RUN, codec=codec, quantizer_dropout_power=power)
    drawn = config.draw_counts(*torch.rand(2, 20_000, generator=torch.Generator().manual_seed(0)))
    assert (drawn.min(), drawn.max()) == (1, 24)
    assert drawn.float().mean() == pytest.approx(mean, abs=0.3)


def test_shares_of_the_examples_use_just_so_many_codebooks_and_the_others_any():
    config = dataclasses.replace(tiny.RUN, quantizer_dropout_shares={"2": 0.5, "4": 0.25}, quantizer_dropout_power=1.0)
    drawn = config.draw_counts(*torch.rand(2, 40_000, generator=torch.Generator().manual_seed(0)))
    shares = torch.bincount(drawn, minlength=5) / len(drawn)
    torch.testing.assert_close(shares, torch.tensor([0, 1, 1 + 8, 1, 1 + 4]) / 16, atol=0.01, rtol=0)


def test_a_search_with_several_paths_takes_part_in_training():
    plain, searching = learner(quantize_from_step=0), learner(quantize_from_step=0, quantizer_effort=4)
    a, b = figures(plain), figures(searching)
    assert b["commitment"] < a["commitment"]
