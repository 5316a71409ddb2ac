"""Whether a codec can decode the file that a header describes."""

from __future__ import annotations

from soundstream.bitstream.header import Header
from soundstream.errors import InvalidField, ModelMismatch
from soundstream.runtime.released import describe
from soundstream.spec import CodecSpec


def check_header(header: Header, spec: CodecSpec, model_id: bytes) -> None:
    """Refuse a file that a codec cannot decode.

    Raises:
        ModelMismatch: another model made it.
        InvalidField: it contradicts its model.
    """
    if header.model_id != model_id:
        raise ModelMismatch(
            f"the file was made by {describe(header.model_id)}, loaded is {model_id.hex()}; "
            "give the file's own model with --model"
        )
    stack = spec.stack(header.num_quantizers)
    expected = {
        "codec_sample_rate": spec.sample_rate,
        "hop_length": spec.hop_length,
        "codebook_bits": max((bits for bits, _ in stack), default=spec.codebook_bits),
        "stack": stack,
        "joint_channels": spec.joint_channels(header.channels),
        "side_numbers": spec.side_numbers,
    }
    for name, value in expected.items():
        if getattr(header, name) != value:
            raise InvalidField(f"{name} is {getattr(header, name)}; this model has {value}")
    if header.num_quantizers > spec.num_quantizers:
        raise InvalidField(f"the file uses {header.num_quantizers} codebooks; this model has {spec.num_quantizers}")
