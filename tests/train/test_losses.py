import math

import pytest
import torch

from soundstream.analysis import mel
from soundstream.errors import ConfigError
from soundstream.train.losses.reconstruction import (
    MEL_LOSSES,
    LossConfig,
    MelLoss,
    PaperMelLoss,
    ReconstructionLoss,
    aligned,
    signal_to_noise_db,
    waveform_loss,
)
from tiny import noise

RATE = 24_000


def mel_parts(target, decoded, kind=MelLoss, **options):
    loss = kind(RATE)
    return loss(loss.spectra(target), loss.spectra(decoded), **options)


LOSSES = {
    "waveform": waveform_loss,
    "mel relative": lambda x, y: mel_parts(x, y)[0],
    "mel log": lambda x, y: mel_parts(x, y)[1],
    "paper's mel amplitude": lambda x, y: mel_parts(x, y, PaperMelLoss)[0],
    "paper's mel log": lambda x, y: mel_parts(x, y, PaperMelLoss)[1],
}


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]


def test_a_loss_of_equal_signals_is_0(loss):
    x = noise(2, 1, 4096)
    assert loss(x, x) == 0


def test_a_loss_of_different_signals_is_positive_and_grows_with_the_difference(loss):
    x, y = noise(2, 1, 4096), noise(2, 1, 4096, seed=1)
    assert 0 < loss(x, x + 0.1 * y) < loss(x, x + y)


def test_a_gradient_reaches_the_decoded_audio_even_where_it_is_silent(loss):
    x, y = noise(2, 1, 4096), torch.zeros(2, 1, 4096, requires_grad=True)
    loss(x, y).backward()
    assert y.grad.isfinite().all()


def test_a_gradient_points_away_from_the_target(loss):
    x = noise(2, 1, 4096)
    y = (x + 0.1 * noise(2, 1, 4096, seed=1)).requires_grad_()
    before = loss(x, y)
    before.backward()
    assert loss(x, y - 1e-3 * y.grad / y.grad.norm()) < before


def test_silence_costs_1():
    x = noise(2, 1, 4096)
    assert waveform_loss(x, torch.zeros_like(x)) == pytest.approx(1, abs=0.01)
    assert mel_parts(x, torch.zeros_like(x))[0] == pytest.approx(1, abs=0.01)


def test_a_quiet_example_counts_like_a_loud_one():
    x, y = noise(1, 1, 4096), noise(1, 1, 4096, seed=1)
    quiet = waveform_loss(0.1 * x, 0.1 * (x + 0.2 * y))
    assert quiet == pytest.approx(float(waveform_loss(x, x + 0.2 * y)), rel=0.05)


@pytest.mark.parametrize("samples", [2048, 5000, 24_000])
def test_the_log_part_is_the_log_mel_distance(samples):
    x, y = noise(1, 1, samples), noise(1, 1, samples, seed=1, scale=0.1)
    _, log = mel_parts(x, x + y)
    expected = mel.log_mel_distance(x.numpy()[0, 0], (x + y).numpy()[0, 0], RATE)
    assert float(log) == pytest.approx(expected, abs=1e-3)


def test_the_log_part_of_a_batch_is_the_mean_over_examples():
    x, y = noise(3, 1, 4096), noise(3, 1, 4096, seed=1)
    singles = [float(mel_parts(x[[i]], y[[i]])[1]) for i in range(3)]
    assert float(mel_parts(x, y)[1]) == pytest.approx(sum(singles) / 3, rel=1e-5)


@pytest.mark.parametrize("window", mel.WINDOWS)
def test_spectra_are_those_of_the_yardstick(window):
    x = noise(1, 1, 6000)
    spectrum = MelLoss(RATE).spectra(x)[mel.WINDOWS.index(window)][0]
    torch.testing.assert_close(
        spectrum, torch.from_numpy(mel.mel_spectrum(x.numpy()[0, 0], window, RATE)), rtol=1e-3, atol=1e-5
    )


def test_a_higher_floor_hides_quiet_differences():
    x, y = noise(1, 1, 4096, scale=1e-3), noise(1, 1, 4096, seed=1, scale=1e-3)
    assert mel_parts(x, y, floor=1.0)[1] == 0
    assert mel_parts(x, y, floor=1e-6)[1] > 0


def test_the_papers_loss_is_its_formula():
    x, y, floor = noise(2, 1, 4096), noise(2, 1, 4096, seed=1, scale=0.1), 1e-5
    amplitude, log = mel_parts(x, y, PaperMelLoss, floor=floor)
    spectra = zip(mel.WINDOWS, MelLoss(RATE).spectra(x), MelLoss(RATE).spectra(y), strict=True)
    expected = [0.0, 0.0]
    for window, a, b in spectra:
        frames = [(p, q) for p, q in zip(a.flatten(0, 1), b.flatten(0, 1), strict=True)]
        expected[0] += sum(float((p - q).abs().sum()) for p, q in frames) / len(frames)
        norms = [float((p.clamp(min=floor).log() - q.clamp(min=floor).log()).norm()) for p, q in frames]
        expected[1] += math.sqrt(window / 2) * sum(norms) / len(frames)
    assert (float(amplitude), float(log)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", MEL_LOSSES)
def test_terms_and_parts_have_their_names(kind):
    x, y = noise(2, 1, 4096), noise(2, 1, 4096, seed=1)
    losses, parts = ReconstructionLoss(LossConfig(mel=kind), RATE)(x, y, mel.FLOOR)
    assert set(losses) == {"waveform", "mel"}
    assert set(parts) == set(MEL_LOSSES[kind].names)
    assert losses["mel"] == sum(parts.values())


def test_terms_that_have_a_weight_at_some_time_are_computed():
    x, y = noise(2, 1, 4096), noise(2, 1, 4096, seed=1)
    config = LossConfig(levels_weight=(0.0, 0.3), complex_weight=(0.5, 0.0), harmonic_weight=(0.0, 0.1))
    losses, _ = ReconstructionLoss(config, RATE)(x, y, mel.FLOOR)
    assert set(losses) == {"waveform", "mel", "levels", "complex", "harmonic"} <= set(config.weights(0.0))
    assert config.weights(0.0)["complex"] == 0.5 and config.weights(1.0)["levels"] == 0.3
    assert config.terms() == ["waveform", "mel", "levels", "complex", "harmonic", "adversarial", "feature"]
    assert LossConfig(waveform_weight=(0.0, 0.0), feature_weight=0.0).terms() == ["mel", "adversarial"]


def test_pre_emphasis_makes_high_errors_count_more():
    time = torch.arange(4096) / RATE
    low, high = (0.01 * torch.sin(2 * math.pi * hertz * time)[None, None] for hertz in (100, 0.4 * RATE))
    x, plain, emphatic = noise(1, 1, 4096), LossConfig(), LossConfig(waveform_emphasis=0.9)
    ratios = []
    for config in (plain, emphatic):
        terms = [ReconstructionLoss(config, RATE)(x, x + error, mel.FLOOR)[0]["waveform"] for error in (high, low)]
        ratios.append(float(terms[0] / terms[1]))
    assert ratios[0] == pytest.approx(1, rel=0.05) and ratios[1] > 5
    with pytest.raises(ConfigError, match="waveform_emphasis"):
        LossConfig(waveform_emphasis=1.0)


@pytest.mark.parametrize("delay", [0, 80])
def test_decoded_audio_that_lags_is_compared_sample_on_sample(delay):
    x = noise(2, 1, 4096)
    late = torch.cat([torch.zeros(2, 1, delay), x], dim=-1)[..., :4096]
    target, decoded = aligned(x, late, delay)
    assert target.shape[-1] == 4096 - delay
    assert torch.equal(target, decoded)


def test_the_weights_move_from_waveform_to_mel():
    config = LossConfig(waveform_weight=(0.8, 0.4), mel_weight=(0.2, 0.6), mel_floor=(0.3, 0.1))
    for shifted, values in {0.0: (0.8, 0.2, 0.3), 0.5: (0.6, 0.4, 0.2), 1.0: (0.4, 0.6, 0.1)}.items():
        weights = config.weights(shifted)
        assert (weights["waveform"], weights["mel"], config.floor(shifted)) == pytest.approx(values)
        assert (weights["adversarial"], weights["feature"]) == (config.adversarial_weight, config.feature_weight)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mel": "log"},
        {"balance_every": 0},
        {"balance_every": 2, "per_example": True},
        {"balancer_decay": 1.0},
        {"mel_weight": (1.0,)},
        {"waveform_weight": (-1.0, 0.0)},
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LossConfig(**wrong)


def test_the_loss_has_nothing_to_save_in_a_checkpoint():
    assert not MelLoss(RATE).state_dict()


@pytest.mark.parametrize(("scale", "decibels"), [(0.9, 20), (0.0, 0), (-9.0, -20)])
def test_signal_to_noise_ratio_in_decibels(scale, decibels):
    x = noise(2, 1, 4096)
    found = signal_to_noise_db(x, scale * x)
    torch.testing.assert_close(found, torch.full((2,), float(decibels)), rtol=0, atol=1e-3)
