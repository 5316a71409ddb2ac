"""Log spectrograms are torch's, in any pieces; layers beside a chain see the waveform alone."""

import pytest
import torch

from onnx_layers import OnnxLayer, in_chunks
from soundstream.nn.layers.conv import CausalConv
from soundstream.nn.layers.spectrogram import Beside, LogSpectrogram, SpectralChain
from tiny import noise

MEAN, DEVIATION = -4.0, 2.5


def expected(x, length, hop):
    """By torch's own transform, of windows that end with the first sample of each hop."""
    padded = torch.nn.functional.pad(x[:, 0, 0].double(), (length - 1, 0))
    window = torch.hann_window(length, dtype=torch.float64)
    magnitude = torch.stft(padded, length, hop, window=window, center=False, return_complex=True).abs()
    return ((magnitude.clamp(min=1e-5).log() - MEAN) / DEVIATION).float()


@pytest.mark.parametrize(("length", "hop"), [(8, 1), (64, 2), (256, 40)])
@torch.no_grad()
def test_a_log_spectrogram_is_torchs_in_any_pieces(length, hop):
    layer, x = LogSpectrogram(length, hop, MEAN, DEVIATION), 0.1 * noise(2, 1, 1, 12 * hop)
    assert layer.init_state(2)["left"].shape == (2, 1, 1, length - 1)
    wanted = expected(x, length, hop)
    for each in (layer, OnnxLayer(layer, 1)):
        for sizes in ([], [hop], [2 * hop, hop, 5 * hop]):
            torch.testing.assert_close(in_chunks(each, x, sizes)[:, :, 0], wanted, rtol=0, atol=2e-4)


@torch.no_grad()
def test_silence_is_the_smallest_magnitude():
    layer = LogSpectrogram(16, 4, MEAN, DEVIATION)
    floor = (torch.tensor(1e-5).log() - MEAN) / DEVIATION
    torch.testing.assert_close(layer(torch.zeros(1, 1, 1, 8)), floor.expand(1, 9, 1, 2))


@torch.no_grad()
def test_layers_beside_a_chain_add_what_they_make_of_the_waveform():
    torch.manual_seed(0)
    layers = {"first": CausalConv(1, 3, 3, stride=2), "beside": Beside(conv=CausalConv(1, 3, 4, stride=2))}
    chain, x = SpectralChain(**layers, last=CausalConv(3, 2, 1)), noise(2, 1, 1, 12)
    wanted = layers["first"](x) + layers["beside"](x)
    torch.testing.assert_close(chain(x), chain.get_submodule("last")(wanted))
    for each in (chain, OnnxLayer(chain, 1)):
        torch.testing.assert_close(in_chunks(each, x, [2, 6]), chain(x), rtol=0, atol=1e-6)
