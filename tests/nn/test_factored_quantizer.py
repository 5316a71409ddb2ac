"""Codebooks that are not as wide as the latents, in groups, or of several strides: one form in torch and in NumPy."""

import io
import itertools
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional

import soundstream
import tiny
from soundstream.bitstream import Reader
from soundstream.codec import editing
from soundstream.errors import ArtifactError, ConfigError
from soundstream.export.artifact import export, exportable, factors
from soundstream.nn.config import FamilyConfig, QuantizerForm
from soundstream.nn.layers.conv import CausalConv, CausalUpsample
from soundstream.nn.model import Networks, SoundStream
from soundstream.nn.quantize import ResidualVectorQuantizer
from soundstream.nn.streaming import Chain
from soundstream.runtime.artifact import write_manifest
from soundstream.runtime.quantizer import Quantizer
from soundstream.train.entropy_fit import FitConfig, fit_artifact

DIM, COUNT, SIZE = 12, 4, 32
FORMS = {
    "factorised": QuantizerForm(width=3, cosine=True),
    "narrow": QuantizerForm(width=3),
    "grouped": QuantizerForm(groups=("semantic", "acoustic", "acoustic", "acoustic"), group_width=6),
    "anew": QuantizerForm(groups=("semantic", "acoustic", "acoustic", "acoustic")),
    "sizes": QuantizerForm(sizes=(32, 4, 16, 8)),
    "narrow sizes": QuantizerForm(width=3, cosine=True, sizes=(32, 4, 16, 8)),
    "multi-scale": QuantizerForm(width=3, cosine=True, strides=(4, 2, 2, 1)),
}


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


def quantizer(form, seed=0):
    torch.manual_seed(seed)
    made = ResidualVectorQuantizer(COUNT, SIZE, DIM, form).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return made


def latents(frames=64, seed=1, batch=2):
    return torch.randn(batch, DIM, frames, generator=torch.Generator().manual_seed(seed))


def in_numpy(made):
    return Quantizer(made.codebooks.numpy(), factors(made))


def test_numpy_finds_and_decodes_what_torch_does(form):
    made, z = quantizer(form), latents()
    codes = made.encode(z, COUNT)
    np.testing.assert_array_equal(in_numpy(made).encode(z.numpy(), COUNT), codes.numpy())
    expected = made.decode(codes).detach().numpy()
    np.testing.assert_allclose(in_numpy(made).decode(codes.numpy()), expected, rtol=0, atol=1e-5)
    found = made(z, torch.full((2,), COUNT))
    np.testing.assert_allclose(found.latents.detach().numpy(), expected, rtol=0, atol=1e-5)
    assert torch.equal(found.codes, codes)


def test_fewer_codebooks_give_the_same_first_codes(form):
    made, z = quantizer(form), latents()
    np.testing.assert_array_equal(in_numpy(made).encode(z.numpy(), 2), made.encode(z, COUNT)[:, :2].numpy())


def test_factorised_codebooks_are_those_of_dac():
    """The look-up of its paper, section 3.2, written out."""
    made, residual = quantizer(FORMS["factorised"]), latents()
    total, expected = 0, []
    with torch.no_grad():
        for q in range(COUNT):
            seen = functional.conv1d(residual, made.project_in[q][..., None], made.bias_in[q])
            rows = functional.normalize(seen.transpose(1, 2), dim=-1)
            book = functional.normalize(made.codebooks[q], dim=-1)
            expected.append(torch.cdist(rows, book[None]).argmin(-1))
            entry = made.codebooks[q][expected[-1]].transpose(1, 2)
            out = functional.conv1d(entry, made.project_out[q][..., None], made.bias_out[q])
            total, residual = total + out, residual - out
    codes = torch.stack(expected, dim=1)
    assert torch.equal(made.encode(latents(), COUNT), codes)
    np.testing.assert_allclose(made.decode(codes).detach(), total, rtol=0, atol=1e-5)


def test_slow_codebooks_are_those_of_snac():
    """Pooled before, repeated behind, and the residual at the full rate."""
    made, residual = quantizer(FORMS["multi-scale"]), latents()
    codes = made.encode(latents(), COUNT)
    with torch.no_grad():
        for q, stride in enumerate(made.strides):
            pooled = functional.avg_pool1d(residual, stride, stride).transpose(1, 2)
            slow = made.nearest(pooled @ made.project_in[q].T + made.bias_in[q], q)
            assert torch.equal(codes[:, q, ::stride], slow)
            assert torch.equal(codes[:, q], slow.repeat_interleave(stride, 1))
            out = made.codebooks[q][slow] @ made.project_out[q].T + made.bias_out[q]
            residual = residual - out.repeat_interleave(stride, 1).transpose(1, 2)


def test_each_group_starts_anew_from_the_latents():
    made, z = quantizer(FORMS["anew"]), latents()
    codes = made.encode(z, COUNT)
    alone = ResidualVectorQuantizer(3, SIZE, DIM)
    alone.codebooks.copy_(made.codebooks[1:])
    assert torch.equal(codes[:, 1:], alone.encode(z, 3))


@pytest.mark.parametrize("name", ["narrow", "grouped", "anew"])
def test_more_paths_find_smaller_errors(name):
    found, z = in_numpy(quantizer(FORMS[name])), latents(400).numpy()
    books = found._factors.groups(COUNT)[-1]
    inner = z if found._factors.group_in is None else np.einsum("gd,bdf->bgf", found._factors.group_in[-1], z)
    errors = []
    for effort in (1, 4, 16):
        codes = found.encode(z, COUNT, effort)[:, books.start : books.stop]
        sums = sum(found._outputs[q][codes[:, q - books.start]] for q in books)
        errors.append(np.square(inner - sums.transpose(0, 2, 1)).mean())
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.98 * errors[0]


def test_a_stride_needs_whole_codes():
    with pytest.raises(ConfigError, match="63 frames; a code of codebook 0 covers 4"):
        in_numpy(quantizer(FORMS["multi-scale"])).encode(latents(63).numpy(), COUNT)


def test_training_lowers_the_error_and_moves_every_projection(form):
    made, target = quantizer(form).train(), latents(256, batch=4)
    made.fit(target.transpose(1, 2).reshape(-1, DIM))
    before = {name: value.clone() for name, value in made.named_parameters()}
    optimizer = torch.optim.Adam(made.parameters(), 3e-3) if before else None
    errors = []
    for _ in range(60):
        found = made(target, torch.full((4,), COUNT))
        loss = (found.latents - target).square().mean()
        errors.append(loss.item())
        if optimizer:
            optimizer.zero_grad()
            (loss + 0.01 * found.commitment).backward()
            optimizer.step()
    assert np.mean(errors[-5:]) < np.mean(errors[:5])
    assert all(not torch.equal(value, before[name]) for name, value in made.named_parameters())


# in an artifact


@dataclass(frozen=True)
class Config(FamilyConfig):
    """A small family of any form."""

    form: QuantizerForm = field(default_factory=QuantizerForm)

    @property
    def quantizer(self):
        return self.form

    @property
    def hop_length(self):
        return 40


def toy(form):
    torch.manual_seed(0)
    config = Config(sample_rate=8_000, latent_dim=DIM, num_quantizers=COUNT, codebook_size=SIZE, form=form)
    return SoundStream(
        config, Networks(Chain(down=CausalConv(1, DIM, 80, 40)), Chain(up=CausalUpsample(DIM, 1, 40)))
    ).eval()


@pytest.mark.parametrize("name", ["factorised", "grouped"])
def test_an_artifact_codes_files_with_it(name, tmp_path):
    model = toy(FORMS[name])
    export(model, tmp_path / "model")
    codec = soundstream.load(tmp_path / "model", postfilter=False)
    pcm = (0.1 * np.random.default_rng(0).normal(size=(1, 4000))).astype(np.float32)
    bitrate = codec.spec.bitrate(COUNT)
    codes = codec.to_codes(pcm, 8_000, bitrate, effort=1)
    stored = exportable(model)
    expected = stored.quantizer.encode(stored.encode(torch.from_numpy(pcm)[None]), COUNT)[0].numpy()
    assert (codes == expected).mean() > 0.98
    decoded, _ = codec.decode(codec.encode(pcm, 8_000, bitrate, effort=1))
    np.testing.assert_allclose(codec.from_codes(codes, num_samples=4000), decoded, rtol=0, atol=1e-5)
    assert codec.spec.group_starts == ((0, 1) if name == "grouped" else (0,))


def test_a_plain_model_has_no_file_of_projections(tmp_path):
    export(toy(QuantizerForm()), tmp_path)
    assert not (tmp_path / "quantizer.npz").exists()


def test_projections_that_do_not_fit_are_refused(tmp_path):
    export(toy(FORMS["factorised"]), tmp_path)
    with (tmp_path / "codebooks.npy").open("wb") as file:
        np.save(file, np.zeros((COUNT, SIZE, 5), np.float16))
    write_manifest(tmp_path)
    with pytest.raises(ArtifactError, match="does not fit the codebooks: project_in"):
        soundstream.load(tmp_path)


@pytest.fixture(scope="module")
def multi_scale(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "model"
    export(toy(FORMS["multi-scale"]), folder)
    return soundstream.load(folder, postfilter=False)


@pytest.mark.parametrize("samples", [0, 1, 159, 161, 4000])
def test_codebooks_of_several_strides_code_files(multi_scale, samples):
    pcm = (0.1 * np.random.default_rng(samples).normal(size=(2, samples))).astype(np.float32)
    bitrate = multi_scale.spec.bitrate(COUNT)
    data = multi_scale.encode(pcm, 8_000, bitrate)
    decoded, _ = multi_scale.decode(data)
    codes = multi_scale.to_codes(pcm, 8_000, bitrate)
    assert decoded.shape == pcm.shape and codes.shape[2] % 4 == 0
    np.testing.assert_allclose(multi_scale.from_codes(codes, num_samples=samples), decoded, rtol=0, atol=1e-5)
    assert (codes[:, 0, ::4].repeat(4, axis=1) == codes[:, 0]).all()
    found = soundstream.info(data)
    assert found.entropy_mode == "none" and (not samples or found.nominal_bitrate == bitrate)


def test_entropy_tables_of_several_strides_are_fitted_and_used(tmp_path):
    folder, pcm = tmp_path / "model", tiny.clip(4) / 32768
    export(toy(FORMS["multi-scale"]), folder)
    soundfile.write(tmp_path / "a.wav", pcm, 8_000)
    fit_artifact(folder, [tmp_path / "a.wav"], 1.0, FitConfig(hidden=8, steps=60, crops=4, crop_frames=30))
    codec = soundstream.load(folder, postfilter=False)
    bitrate = codec.spec.bitrate(COUNT)
    sizes, sounds = [], []
    for mode in ("none", "fast", "best"):
        sizes.append(len(codec.encode(pcm, 8_000, bitrate, entropy=mode)))
        sounds.append(codec.decode(codec.encode(pcm, 8_000, bitrate, entropy=mode))[0])
    assert sizes[2] < 0.95 * sizes[1] < 0.95 * sizes[0]
    np.testing.assert_array_equal(sounds[1], sounds[0])
    np.testing.assert_array_equal(sounds[2], sounds[0])
    assert soundstream.info(codec.encode(pcm, 8_000, bitrate)).entropy_mode == "best"


@pytest.mark.parametrize("form", ["plain", "factorised", "multi-scale"])
@pytest.mark.parametrize("effort", [1, 3])
def test_codebooks_of_several_sizes_code_files(form, effort, tmp_path):
    sizes = [SIZE, SIZE // 4, SIZE // 2, 2]
    model = toy(replace(FORMS.get(form, QuantizerForm()), sizes=tuple(sizes)))
    export(model, tmp_path / "model")
    codec = soundstream.load(tmp_path / "model", postfilter=False)
    pcm, bitrate = tiny.clip(2) / 32768, codec.spec.bitrate(COUNT)
    codes = codec.to_codes(pcm, 8_000, bitrate, effort=effort)
    assert (codes.max(axis=1) < sizes).all() and codes[0].max() >= SIZE // 4
    decoded, _ = codec.decode(codec.encode(pcm, 8_000, bitrate, effort=effort))
    np.testing.assert_allclose(codec.from_codes(codes, num_samples=len(pcm)), decoded, rtol=0, atol=1e-5)
    if effort == 1:
        stored = exportable(model)
        latents = stored.encode(functional.pad(torch.from_numpy(pcm).float()[None, None], (0, -len(pcm) % 160)))
        assert (codes == stored.quantizer.encode(latents, COUNT)[0].numpy()).mean() > 0.98
    codes[1, 0] = sizes[1]
    with pytest.raises(ConfigError, match="expected 0 to"):
        codec.from_codes(codes)


def test_codebooks_of_several_sizes_learn_and_are_of_the_right_number():
    made, z = quantizer(FORMS["sizes"]).train(), latents(frames=200)
    made.fit(z.transpose(1, 2).reshape(-1, DIM))
    for _ in range(5):
        codes = made(z, torch.full((2,), COUNT)).codes
    assert codes.amax((0, 2)).tolist() == [size - 1 for size in FORMS["sizes"].sizes]
    with pytest.raises(ConfigError, match="expected at most codebook_size, 32"):
        toy(QuantizerForm(sizes=(64, 4, 4, 4)))
    with pytest.raises(ConfigError, match=r"sizes \(4, 4\) are not those of 4 codebooks"):
        toy(QuantizerForm(sizes=(4, 4)))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_codebooks_of_several_strides_have_files_too(multi_scale, count):
    data = multi_scale.encode(np.zeros((1, 999), np.float32), 8_000, multi_scale.spec.bitrate(count))
    assert multi_scale.decode(data)[0].shape == (1, 999)
    assert soundstream.info(data).nominal_bitrate == multi_scale.spec.bitrate(count)


def test_chunks_of_sound_give_their_codes_too(multi_scale):
    pcm = (0.1 * np.random.default_rng(1).normal(size=(1, 4001))).astype(np.float32)
    encoder = multi_scale.open_code_encoder(8_000, 1, multi_scale.spec.bitrate(COUNT))
    parts = [encoder.push(part) for part in np.array_split(pcm, 37, axis=1)]
    codes = np.concatenate([*parts, encoder.flush()], axis=1)
    np.testing.assert_array_equal(codes, multi_scale.to_codes(pcm, 8_000, multi_scale.spec.bitrate(COUNT)))


@pytest.mark.parametrize("rate", [8_000, 11_025])
def test_files_of_several_strides_are_cut_and_joined(multi_scale, rate):
    pcm = (0.1 * np.random.default_rng(2).normal(size=(1, 2 * rate))).astype(np.float32)
    data = multi_scale.encode(pcm, rate, multi_scale.spec.bitrate(COUNT))
    whole, places, parts = multi_scale.decode(data)[0], (0.0, 0.33, 0.9, 1.2, None), []
    for start, end in itertools.pairwise(places):
        part = io.BytesIO()
        editing.cut(multi_scale, Reader(io.BytesIO(data)), part, start, end)
        parts.append(part.getvalue())
        expected = whole[:, round(start * rate) : None if end is None else round(end * rate)]
        np.testing.assert_allclose(multi_scale.decode(parts[-1])[0], expected, rtol=0, atol=5e-3)
    again = io.BytesIO()
    editing.cat(multi_scale, [Reader(io.BytesIO(part)) for part in parts], again)
    np.testing.assert_allclose(multi_scale.decode(again.getvalue())[0][:, : whole.shape[1]], whole, rtol=0, atol=5e-3)
    foreign = io.BytesIO()
    editing.cat(multi_scale, [Reader(io.BytesIO(parts[i])) for i in (2, 0, 3)], foreign)
    assert multi_scale.decode(foreign.getvalue())[0].shape[1] >= rate * 1.4


def test_what_needs_a_code_in_every_frame_is_refused(multi_scale):
    with pytest.raises(ConfigError, match="cover several frames"):
        multi_scale.open_encoder(8_000)
    with pytest.raises(ConfigError, match="entropy mode 'best' needs tables"):
        multi_scale.encode(np.zeros(800), 8_000, multi_scale.spec.bitrate(COUNT), entropy="best")


def test_a_form_has_as_many_strides_as_codebooks():
    with pytest.raises(ConfigError, match="are not those of 4 codebooks"):
        toy(QuantizerForm(strides=(2, 1)))
