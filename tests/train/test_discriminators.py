import dataclasses
import math

import pytest
import torch
from torch import nn

from soundstream.errors import ConfigError
from soundstream.train.adversarial.discriminators import BlockSpectrum, DiscriminatorConfig, Spectrum, build
from soundstream.train.adversarial.losses import discriminator_loss
from tiny import noise

RATE = 24_000
PAPER = DiscriminatorConfig("soundstream")
ENCODEC = DiscriminatorConfig("ms-stft")
SMALL = {
    "soundstream": DiscriminatorConfig("soundstream", channels=2, wave_channels=4),
    "ms-stft": DiscriminatorConfig("ms-stft", channels=4, windows=(512, 256)),
    "dac": DiscriminatorConfig("dac", channels=4, windows=(512, 256), wave_channels=4),
}
DAC = DiscriminatorConfig("dac", windows=(2048, 1024, 512), wave_channels=32)
WAVE_TABLE = [
    (1, 16, (15,), (1,), (1,), 1),
    (16, 64, (41,), (4,), (1,), 4),
    (64, 256, (41,), (4,), (1,), 16),
    (256, 1024, (41,), (4,), (1,), 64),
    (1024, 1024, (41,), (4,), (1,), 256),
    (1024, 1024, (5,), (1,), (1,), 1),
    (1024, 1, (3,), (1,), (1,), 1),
]
BAND_TABLE = [
    (2, 32, (3, 9), (1, 1), (1, 1), 1),
    (32, 32, (3, 9), (1, 2), (1, 1), 1),
    (32, 32, (3, 9), (1, 2), (2, 1), 1),
    (32, 32, (3, 9), (1, 2), (4, 1), 1),
    (32, 32, (3, 3), (1, 1), (1, 1), 1),
    (32, 1, (3, 3), (1, 1), (1, 1), 1),
]


PERIOD_TABLE = [
    (1, 32, (5, 1), (3, 1), (1, 1), 1),
    (32, 128, (5, 1), (3, 1), (1, 1), 1),
    (128, 512, (5, 1), (3, 1), (1, 1), 1),
    (512, 1024, (5, 1), (3, 1), (1, 1), 1),
    (1024, 1024, (5, 1), (1, 1), (1, 1), 1),
    (1024, 1, (3, 1), (1, 1), (1, 1), 1),
]
STACK_TABLE = [
    (2, 32, (3, 9), (1, 1), (1, 1), 1),
    *[(32, 32, (3, 9), (1, 2), (1, 1), 1)] * 3,
    (32, 32, (3, 3), (1, 1), (1, 1), 1),
]


@pytest.fixture(scope="module")
def paper():
    """The published set, not to be changed."""
    return build(PAPER, RATE).judges


@pytest.fixture(params=SMALL)
def small(request):
    torch.manual_seed(0)
    return build(SMALL[request.param], RATE)


def table(judge):
    """Channels in and out, kernel, stride, dilation and groups of each convolution on the main path."""
    convs = [(name, m) for name, m in judge.named_modules() if isinstance(m, nn.Conv1d | nn.Conv2d)]
    return [
        (m.in_channels, m.out_channels, m.kernel_size, m.stride, m.dilation, m.groups)
        for name, m in convs
        if not name.endswith("shortcut")
    ]


def parameters(modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize("scale", range(3))
def test_the_waveform_discriminators_have_the_published_layers(paper, scale):
    assert table(paper[scale]) == WAVE_TABLE


def test_the_stft_discriminator_has_the_published_layers(paper):
    first, *blocks, last = table(paper[3])
    assert first[:4] == (2, 32, (7, 7), (1, 1))
    assert [kernel for _, _, kernel, *_ in blocks[::2]] == 6 * [(3, 3)]
    assert [kernel for _, _, kernel, *_ in blocks[1::2]] == 3 * [(3, 4), (4, 4)]
    assert [stride for _, _, _, stride, *_ in blocks[1::2]] == 3 * [(1, 2), (2, 2)]
    assert [out for _, out, *_ in blocks[1::2]] == [64, 128, 128, 256, 256, 512]
    assert last[1:4] == (1, (1, 512 // 2**6), (1, 1))


@pytest.mark.parametrize("scale", range(5))
def test_the_multi_scale_stft_discriminators_have_the_published_layers(scale):
    assert table(build(ENCODEC, RATE).judges[scale]) == BAND_TABLE


def test_the_published_sets_have_the_parameters_that_their_layers_give(paper):
    assert parameters(paper[:3]) == pytest.approx(16.9e6, rel=0.005)
    assert parameters(paper[3:]) == pytest.approx(5.5e6, rel=0.01)
    assert parameters([build(ENCODEC, RATE)]) == pytest.approx(5 * 94.5e3, rel=0.001)


def test_the_discriminators_of_dac_have_the_published_layers():
    *periods, first, second, third = build(DAC, RATE).judges
    assert [table(judge) for judge in periods] == 5 * [PERIOD_TABLE]
    assert parameters(periods) == pytest.approx(41.1e6, rel=0.005)
    for judge in (first, second, third):
        assert sorted(table(judge)) == sorted([*(5 * STACK_TABLE), (32, 1, (3, 3), (1, 1), (1, 1), 1)])


def test_folded_waveforms_have_a_column_a_place_of_the_period():
    judge = build(SMALL["dac"], RATE).judges[2]  # period 5
    rows = judge.view(torch.arange(12.0).view(1, 1, 12))[0, 0]
    assert rows[:, 0].tolist() == [0, 5, 10] and rows[2].tolist() == [10, 11, 10, 9, 8]
    x = noise(1, 1, 5000)
    changed = x.clone()
    changed[..., 2::5] += 1
    differs = (judge(changed).logits != judge(x).logits).flatten(0, 2).any(0)
    assert differs.tolist() == [False, False, True, False, False]


def test_bands_are_seen_apart_and_the_logits_see_all():
    judge, edges = build(SMALL["dac"], RATE).judges[5], (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
    widths = [band.stop - band.start for band in judge.bands]
    assert [band.stop for band in judge.bands] == [round(edge * 257) for edge in edges[1:]] and sum(widths) == 257
    time = torch.arange(4096) / RATE
    x = noise(1, 1, 4096)
    found, other = judge(x), judge(x + 0.3 * torch.sin(2 * math.pi * 10_000 * time))
    changed = [
        (a - b).abs().mean() / a.abs().mean() > 0.05
        for a, b in zip(found.features[::5], other.features[::5], strict=True)
    ]
    assert changed == [False, False, False, False, True]
    assert not torch.equal(found.logits, other.logits)


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_stft_discriminator_gives_a_logit_every_8_hops(blocks):
    samples = blocks * 8 * 256
    judgement = build(SMALL["soundstream"], RATE)(noise(2, 1, samples))[3]
    assert judgement.logits.shape == (2, 1, samples // (256 * 2**3), 1)
    sizes = [feature.shape[2:] for feature in judgement.features]
    frames = samples // 256
    assert sizes[:3] == [(frames, 512), (frames, 256), (frames // 2, 128)]
    assert sizes[-1] == (samples // (256 * 2**3), 512 // 2**6)


def test_the_waveform_discriminators_hear_full_half_and_quarter_rate():
    judgements = build(SMALL["soundstream"], RATE)(noise(2, 1, 8192))[:3]
    assert [judgement.features[0].shape[-1] for judgement in judgements] == [8192, 4096, 2048]
    assert [judgement.logits.shape for judgement in judgements] == [(2, 1, n // 4**4) for n in (8192, 4096, 2048)]


def test_the_multi_scale_set_keeps_frames_and_an_eighth_of_the_bins():
    for judgement, window in zip(build(SMALL["ms-stft"], RATE)(noise(2, 1, 4096)), (512, 256), strict=True):
        frames = 1 + (4096 - window) // (window // 4)
        assert judgement.logits.shape == (2, 1, frames, window // 16 + 1)


@pytest.mark.parametrize("more", [0, 1, 333])
def test_any_crop_from_the_longest_window_on_is_judged(small, more):
    for judgement in small(noise(1, 1, small.min_samples + more)):
        assert judgement.logits.numel() > 0
        assert judgement.logits.isfinite().all()


def test_a_crop_shorter_than_the_longest_window_is_refused(small):
    with pytest.raises(ConfigError, match=f"has {small.min_samples - 1} samples; .* at least {small.min_samples}"):
        small(noise(1, 1, small.min_samples - 1))


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize(("rate", "factor"), [(48_000, 2), (44_100, 2), (16_000, 1 / 2), (8_000, 1 / 4)])
def test_windows_last_as_long_at_any_rate(kind, rate, factor):
    config = SMALL[kind]
    assert config.min_samples(rate) == factor * config.min_samples(RATE)
    at_rate = build(config, rate)(noise(1, 1, 4096))
    assert all(judgement.logits.isfinite().all() for judgement in at_rate)


def test_an_example_is_judged_by_itself(small):
    x = noise(3, 1, 2048)
    for batch, single in zip(small(x), small(x[[1]]), strict=True):
        torch.testing.assert_close(batch.logits[[1]], single.logits, rtol=1e-4, atol=1e-6)


def test_gradients_reach_the_audio_and_every_weight(small):
    x = noise(2, 1, 4096).requires_grad_()
    sum(judgement.logits.square().mean() for judgement in small(x)).backward()
    assert x.grad.abs().amin(dim=-1).isfinite().all()
    assert x.grad.abs().sum() > 0
    idle = [name for name, p in small.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_a_fresh_set_passes_the_level_of_its_input_on(small):
    quiet, loud = (small(noise(2, 1, 8192, scale=scale)) for scale in (0.1, 1.0))
    for a, b in zip(quiet, loud, strict=True):
        assert 0.01 < a.logits.std() < 1
        torch.testing.assert_close(10 * a.logits, b.logits, rtol=1e-3, atol=1e-4)


def test_views_have_nothing_to_save_in_a_checkpoint(small):
    assert not [name for name in small.state_dict() if "view" in name]


@pytest.mark.parametrize("spectrum", [Spectrum(256), BlockSpectrum(256)], ids=["plain", "in blocks"])
def test_noise_of_unit_power_has_bins_of_unit_power(spectrum):
    power = spectrum(noise(4, 1, 32_768, scale=1.0)).square().sum(dim=1)
    assert power[:, 2:-2, 1:-1].mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("spectrum", [Spectrum(256), BlockSpectrum(256)], ids=["plain", "in blocks"])
def test_a_sine_stands_in_its_bin(spectrum):
    sine = torch.sin(2 * math.pi * 40 / 256 * torch.arange(4096.0)).reshape(1, 1, -1)
    power = spectrum(sine).square().sum(dim=1)[0, 2:-2].mean(dim=0)
    assert int(power.argmax()) == 40


@pytest.mark.parametrize("kind", [Spectrum, BlockSpectrum])
def test_compression_raises_magnitudes_to_its_power_down_to_the_floor_and_keeps_phases(kind):
    x = noise(1, 1, 4096, scale=1.0)
    plain = torch.view_as_complex(kind(256)(x).permute(0, 2, 3, 1).contiguous())
    for level in (1.0, 0.01):
        z = torch.view_as_complex(kind(256, 0.4)(level * x).permute(0, 2, 3, 1).contiguous())
        loud = plain.abs() > 0.8
        torch.testing.assert_close(z.abs()[loud], (level * plain.abs()[loud]) ** 0.4, rtol=0.01, atol=0)
        torch.testing.assert_close((z / z.abs())[loud], (plain / plain.abs())[loud], rtol=1e-3, atol=1e-3)
    quiet = kind(256, 0.4, floor_db=-60.0)(1e-5 * x)
    torch.testing.assert_close(quiet, 1e-5 * kind(256)(x) * 1e-3**-0.6, rtol=0.01, atol=1e-6)


@pytest.mark.parametrize("kind", SMALL)
def test_compressed_spectra_take_the_weights_of_a_state_made_without(kind):
    torch.manual_seed(0)
    plain, compressed = (build(dataclasses.replace(SMALL[kind], compression=power), RATE) for power in (1.0, 0.4))
    compressed.load_state_dict(plain.state_dict())
    x = noise(2, 1, 4096)
    same = [torch.equal(a.logits, b.logits) for a, b in zip(plain(x), compressed(x), strict=True)]
    waves = {"soundstream": 3, "ms-stft": 0, "dac": 5}[kind]
    assert same == [index < waves for index in range(len(same))]
    x.requires_grad_()
    sum(judgement.logits.sum() for judgement in compressed(torch.zeros_like(x) * x)).backward()
    assert x.grad.isfinite().all()


def test_under_autocast_convolutions_run_in_bfloat16_and_spectra_in_float32(small):
    x = noise(2, 1, 4096)
    expected = small(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert Spectrum(256)(x.bfloat16()).dtype == torch.float32
        judgements = small(x)
    for judgement, exact in zip(judgements, expected, strict=True):
        assert judgement.logits.dtype == torch.bfloat16
        error = (judgement.logits.float() - exact.logits).std() / exact.logits.std()
        assert error < 0.05


def test_a_few_steps_tell_noise_from_a_sine(small):
    optimizer = torch.optim.Adam(small.parameters(), lr=1e-2, betas=(0.5, 0.9))
    sine = 0.3 * torch.sin(0.2 * torch.arange(2048.0)).expand(2, 1, -1)
    losses = []
    for step in range(12):
        loss = discriminator_loss(small(sine), small(noise(2, 1, 2048, seed=step, scale=0.2)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.5
    assert losses[-1] < 1
    for real, fake in zip(small(sine), small(noise(4, 1, 2048, seed=99, scale=0.2)), strict=True):
        assert fake.logits.mean() < 0 < real.logits.mean()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "mpd"}, "kind is 'mpd'; expected one of: ms-stft, soundstream"),
        ({"channels": 0}, "channels is 0; expected a whole number from 1"),
        ({"channels": 4096}, "channels is 4096; expected a whole number from 1 to 1024"),
        ({"wave_channels": 6}, "wave_channels is 6; expected a multiple of 4"),
        ({"windows": ()}, r"windows is \(\); expected different powers of two from 64 to 8192"),
        ({"windows": (1000,)}, r"windows is \(1000,\); expected different powers of two"),
        ({"windows": (512, 512)}, "expected different powers of two"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        DiscriminatorConfig(**settings)
