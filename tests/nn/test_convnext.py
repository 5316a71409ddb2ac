import torch
from torch.nn import functional

from soundstream.nn.layers.convnext import ConvNeXtBlock
from tiny import noise


def test_a_convnext_block_is_its_formula():
    torch.manual_seed(0)
    block, x = ConvNeXtBlock(6, kernel=7), noise(2, 6, 1, 30)
    for parameter in block.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    padded = functional.pad(x.squeeze(2), (6, 0))
    y = functional.conv1d(padded, block.depthwise.weight.squeeze(2), block.depthwise.bias, groups=6).transpose(1, 2)
    y = functional.layer_norm(y, (6,), block.norm.weight, block.norm.bias)
    y = functional.gelu(y @ block.expand.weight.T + block.expand.bias) @ block.shrink.weight.T + block.shrink.bias
    torch.testing.assert_close(block(x).squeeze(2), x.squeeze(2) + y.transpose(1, 2))


def test_a_block_whose_last_layer_is_zero_passes_its_input_on():
    block, x = ConvNeXtBlock(6, kernel=7, scale=0.0), noise(2, 6, 1, 30)
    assert torch.equal(block(x), x)
