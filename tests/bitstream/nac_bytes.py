"""A small `.nac` file, as what it holds and as bytes."""

import io

from soundstream.bitstream import Header, Packet, Reader, Writer

HEADER = Header(
    model_id=b"modelid!",
    sample_rate=48_000,
    channels=2,
    codec_sample_rate=24_000,
    hop_length=320,
    codebook_bits=10,
    num_quantizers=8,
    tags={"title": "Été"},
)
PACKETS = [Packet(0, 8, 2, b"first"), Packet(1, 4, 1, b"")]
NUM_SAMPLES = 1900

HEADER_LENGTH, END_LENGTH = 57, 22
TINY = bytes.fromhex(
    "894e4143 01 3900 0000 6d6f64656c696421 80bb0000 c05d0000 4001 02 0a 08 00 ffffffffffffffff 01"
    "05 7469746c65 0500 c38974c3a9 22e432b7"
    "a550 0000 02 08 0500 6669727374 a1c44cc6"
    "a550 0100 01 04 0000 2ac3b3d0"
    "a545 6c07000000000000 0300000000000000 d52fc952"
)


def write(header=HEADER, packets=PACKETS, num_samples=NUM_SAMPLES):
    """The bytes of a file."""
    stream = io.BytesIO()
    writer = Writer(stream, header)
    for packet in packets:
        writer.write(packet)
    writer.finish(num_samples)
    return stream.getvalue()


def read(data):
    """The reader of a file, and its packets."""
    reader = Reader(io.BytesIO(data))
    return reader, list(reader)
