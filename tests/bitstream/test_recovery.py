"""Damaged files: what is whole comes out, in order, and what is not is counted."""

import io
import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from soundstream.bitstream import Header, Loss, Packet, Reader, RepairingReader, Writer

HEADER = Header(b"modelid!", 24_000, 1, 24_000, 320, 10, 8)
FRAMES, COUNT = 10, 12
PACKETS = [Packet(i, 1 + i % 8, FRAMES, bytes([i]) * (1 + i % 8) * 12) for i in range(COUNT)]


def parts():
    """The file, cut into its header, its packets and its end record."""
    stream, places = io.BytesIO(), []
    writer = Writer(stream, HEADER)
    for packet in PACKETS:
        places.append(stream.tell())
        writer.write(packet)
    places.append(stream.tell())
    writer.finish(FRAMES * COUNT * 320)
    data = stream.getvalue()
    return [data[a:b] for a, b in itertools.pairwise([0, *places, len(data)])]


def recover(data):
    reader = RepairingReader(io.BytesIO(data))
    items = list(reader)
    packets = [item for item in items if isinstance(item, Packet)]
    losses = [item for item in items if isinstance(item, Loss)]
    return reader, packets, losses


def test_a_whole_file_reads_as_without_repair():
    data = b"".join(parts())
    reader, packets, losses = recover(data)
    plain = Reader(io.BytesIO(data))
    assert (packets, losses) == (list(plain), [])
    names = ("header", "num_samples", "packets", "frames", "bytes", "complete")
    assert [getattr(reader, name) for name in names] == [getattr(plain, name) for name in names]


@pytest.mark.parametrize("hurt", range(COUNT))
@pytest.mark.parametrize("place", [0, 3, 6, 9, -1], ids=["marker", "sequence", "length", "payload", "checksum"])
def test_a_damaged_packet_costs_itself_alone(hurt, place):
    data = parts()
    broken = bytearray(data[1 + hurt])
    broken[place] ^= 0x40
    data[1 + hurt] = bytes(broken)
    reader, packets, losses = recover(b"".join(data))
    assert packets == PACKETS[:hurt] + PACKETS[hurt + 1 :]
    assert [(loss.packets, loss.frames) for loss in losses] == [(1, FRAMES)]
    assert (reader.frames, reader.num_samples) == (COUNT * FRAMES, COUNT * FRAMES * 320)


def test_missing_packets_are_counted():
    data = parts()
    _, packets, losses = recover(b"".join(data[:3] + data[6:]))
    assert len(packets) == COUNT - 3
    assert [(loss.packets, loss.frames) for loss in losses] == [(3, 3 * FRAMES)]


def test_packets_twice_or_out_of_order_come_once_and_in_order():
    data = parts()
    data[4:4] = [data[3]]
    data[8], data[9] = data[9], data[8]
    _, packets, losses = recover(b"".join(data))
    sequences = [packet.sequence for packet in packets]
    assert sequences == sorted(set(sequences)) and len(packets) == COUNT - 1
    assert sum(loss.frames for loss in losses) == FRAMES
    assert sum("twice or out of order" in loss.reason for loss in losses) == 2


def test_bytes_between_packets_are_told():
    data = parts()
    data[5:5] = [b"junk \xa5P and \xa5 more"]
    _, packets, losses = recover(b"".join(data))
    assert packets == PACKETS
    assert [loss.reason for loss in losses] == ["18 bytes belong to no packet"]


def test_bytes_after_the_end_are_told():
    _, packets, losses = recover(b"".join(parts()) + b"x")
    assert packets == PACKETS
    assert [loss.reason for loss in losses] == ["bytes follow the end record"]


def test_a_killed_encoder_leaves_all_complete_packets():
    data = b"".join(parts()[:-1])
    for length in range(len(parts()[0]), len(data)):
        reader, packets, losses = recover(data[:length])
        assert packets == PACKETS[: len(packets)] and not reader.complete
        assert "ends before" in losses[-1].reason
    assert recover(data)[1] == PACKETS


def test_a_leap_in_the_numbers_is_no_hour_of_silence():
    stream = io.BytesIO()
    stream.write(HEADER.to_bytes() + Packet(0, 1, 255, b"").to_bytes() + Packet(30_000, 1, 255, b"").to_bytes())
    stream.seek(0)
    frames = sum(item.frames for item in RepairingReader(stream) if isinstance(item, Loss))
    assert frames <= 9 * 255


@settings(max_examples=200, deadline=None)
@example(changes=[("double", 2073, b""), ("flip", 696, b"")])
@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from(["flip", "drop", "double", "swap", "insert"]), st.integers(0, 2**20), st.binary(max_size=9)
        ),
        max_size=6,
    )
)
def test_any_damage_is_survived_and_what_comes_out_was_there(changes):
    head, *rest = parts()
    body = bytearray(b"".join(rest))
    for kind, at, data in changes:
        at %= len(body)
        if kind == "flip":
            body[at] ^= 1 << (len(data) % 8)
        elif kind == "drop":
            del body[at : at + 3 * len(data) + 1]
        elif kind == "double":
            body[at:at] = body[at : at + 100]
        elif kind == "swap":
            body[at:] = body[at + 40 :] + body[at : at + 40]
        else:
            body[at:at] = data
        body = body or bytearray(b"x")
    _, packets, losses = recover(head + bytes(body))
    assert all(packet in PACKETS for packet in packets)
    assert [packet.sequence for packet in packets] == sorted({packet.sequence for packet in packets})
    assert losses or bytes(body) == b"".join(rest)


def test_markers_without_end_take_no_time():
    data = HEADER.to_bytes() + b"\xa5P" * 50_000 + b"\xa5" * 50_000
    assert recover(data)[1] == []


def test_skipping_goes_to_the_packet_of_a_frame():
    data = b"".join(parts())
    for frame in (0, 1, FRAMES - 1, FRAMES, 57, COUNT * FRAMES - 1, COUNT * FRAMES, 10_000):
        reader = Reader(io.BytesIO(data))
        reader.skip_to(frame)
        assert reader.frames == min(frame // FRAMES, COUNT) * FRAMES
        assert list(reader) == PACKETS[frame // FRAMES :]
        assert reader.bytes == len(data) and reader.complete
