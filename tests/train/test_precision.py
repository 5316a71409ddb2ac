import pytest
import torch

import tiny
from soundstream.errors import ConfigError
from soundstream.train.steps import precision
from soundstream.train.steps.precision import choose_device, choose_precision

CPU = torch.device("cpu")


@pytest.fixture
def cpu(tmp_path, monkeypatch):
    """Makes this machine one whose processor has these flags."""

    def make(flags):
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbogomips\t: 4000\n" * 2)
        monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")

    return make


@pytest.mark.parametrize(
    ("flags", "bf16"),
    [("fpu avx2", False), ("avx512f avx512_bf16", True), ("amx_bf16 amx_tile", True), ("", False)],
)
def test_a_cpu_computes_in_bf16_if_its_flags_show_it(cpu, flags, bf16):
    cpu(flags)
    assert choose_precision(CPU).bf16 is bf16


def test_a_system_that_does_not_tell_computes_in_fp32(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "absent")
    assert not choose_precision(CPU).bf16


def test_the_choice_can_be_overridden_and_is_said(cpu):
    cpu("avx512_bf16")
    assert "fp32 (as asked for)" in str(choose_precision(CPU, "fp32"))
    assert "bf16 autocast, channels last (avx512_bf16)" in str(choose_precision(CPU))
    cpu("avx2")
    assert choose_precision(CPU, "bf16").bf16


def test_a_gpu_computes_in_bf16():
    assert choose_precision(torch.device("cuda")).bf16


def test_networks_run_in_bf16_while_codebooks_and_statistics_stay_in_fp32():
    chosen, model = choose_precision(CPU, "bf16"), tiny.model().train()
    chosen.place(model)
    with chosen.autocast():
        assert model.encoder(tiny.noise(1, 1, 1, 400)).dtype == torch.bfloat16
        output = model(tiny.noise(2, 1, 400), torch.tensor([1, 4]))
    assert output.commitment.dtype == torch.float32
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


def test_what_spans_the_dynamic_range_of_audio_is_computed_in_fp32_under_autocast():
    model, pcm = tiny.model(config=tiny.SPECTRAL), tiny.noise(2, 1, 1, 400)
    seen = model.analysis(pcm)
    samples = model.decoder.imdct(seen[:, -model.config.hop_length :])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.analysis(pcm), seen)
        assert torch.equal(model.decoder.imdct(seen[:, -model.config.hop_length :]), samples)
        assert model.encoder(seen).dtype == torch.bfloat16
        assert model(pcm.squeeze(2), None).audio.dtype == torch.float32


def test_codes_do_not_depend_on_autocast():
    quantizer, latents = tiny.model().quantizer, tiny.noise(4, 8, 50, scale=1)
    expected = quantizer(latents, torch.full((4,), 4)).codes
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantizer(latents, torch.full((4,), 4)).codes, expected)


@pytest.mark.parametrize(("choose", "name"), [(choose_device, "tpu"), (lambda n: choose_precision(CPU, n), "int8")])
def test_an_unknown_name_is_refused(choose, name):
    with pytest.raises(ConfigError, match=name):
        choose(name)


def test_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(ConfigError, match="no GPU"):
        choose_device("cuda")
