"""RTP packets to bytes and back, and what is refused."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from soundstream.errors import BitstreamError, ConfigError, InvalidField, Truncated
from soundstream.live.network.rtp import MAX_PAYLOAD, Form, Packetizer, RtpPacket, goodbyes, is_control

PACKET = RtpPacket(0x1234, 0x89ABCDEF, 0x01020304, b"sound", marker=True, payload_type=97)
BYTES = bytes.fromhex("80e1 1234 89abcdef 01020304") + b"sound"


def packetizer(**changes):
    fixed = {"ssrc": 0xCAFEBABE, "sequence": 7, "timestamp": 1000, "name": "someone"}
    return Packetizer(**({"step": 320} | fixed | changes))


def test_a_packet_has_the_bytes_of_the_standard():
    assert PACKET.to_bytes() == BYTES
    assert RtpPacket.from_bytes(BYTES) == PACKET


@pytest.mark.parametrize("payload", [b"", b"x", bytes(MAX_PAYLOAD)])
def test_any_payload_comes_back(payload):
    packet = RtpPacket(65_535, 2**32 - 1, 0, payload)
    assert RtpPacket.from_bytes(packet.to_bytes()) == packet


def test_parts_that_others_may_send_are_passed_over():
    head = bytes([0x80 | 0x20 | 0x10 | 2]) + BYTES[1:12]  # padding, extension, two contributing sources
    extension = bytes.fromhex("bede 0002") + bytes(8)
    assert RtpPacket.from_bytes(head + bytes(8) + extension + b"sound" + b"\0\0\3") == PACKET


def test_a_form_goes_in_a_header_extension_that_others_pass_over():
    packet = replace(PACKET, form=Form(b"modelid!", 2))
    head = bytes([0x90]) + BYTES[1:12]
    extension = bytes.fromhex("bede 0003 18 02") + b"modelid!" + bytes(2)
    assert packet.to_bytes() == head + extension + b"sound"
    assert RtpPacket.from_bytes(packet.to_bytes()) == packet
    other = bytes.fromhex("bede 0005 00 21 ff ff 18 02") + b"modelid!" + bytes(6)  # filling and another element first
    assert RtpPacket.from_bytes(head + other + b"sound") == packet


@pytest.mark.parametrize(
    "extension", ["bede 0001 18 02 6d 6f", "bede 0000", "1000 0001 18 02 6d 6f", "bede 0001 1f 1f 1f 1f"]
)
def test_an_extension_that_holds_no_form_says_nothing(extension):
    data = bytes([0x90]) + BYTES[1:12] + bytes.fromhex(extension) + b"sound"
    assert RtpPacket.from_bytes(data) == PACKET


def test_the_first_packets_say_the_form_and_then_one_a_second():
    stream = packetizer(form=Form(b"modelid!", 1))
    told = [i for i in range(160) if RtpPacket.from_bytes(stream.pack(b"x")).form]
    assert told == [*range(10), 75, 150]
    assert not any(RtpPacket.from_bytes(packetizer().pack(b"x")).form for _ in range(2))


@pytest.mark.parametrize("length", range(12))
def test_a_packet_that_ends_in_its_header(length):
    with pytest.raises(Truncated, match="expected at least 12"):
        RtpPacket.from_bytes(BYTES[:length])


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x40" + BYTES[1:], InvalidField),  # version 1
        (b"\x8f" + BYTES[1:], Truncated),  # 15 contributing sources
        (b"\x90" + BYTES[1:12], Truncated),  # an extension without a head
        (b"\x90" + BYTES[1:12] + bytes.fromhex("bede ffff"), Truncated),
        (b"\xa0" + BYTES[1:] + b"\0", InvalidField),  # padding of nothing
        (b"\xa0" + BYTES[1:] + b"\x07", InvalidField),  # of more than there is
        (b"\xa0" + BYTES[1:12], InvalidField),  # of the header
        (BYTES[:12] + bytes(MAX_PAYLOAD + 1), InvalidField),
    ],
)
def test_a_malformed_packet(data, error):
    with pytest.raises(error):
        RtpPacket.from_bytes(data)


@pytest.mark.parametrize(
    "change", [{"sequence": 65_536}, {"timestamp": -1}, {"ssrc": 2**32}, {"payload_type": 128}, {"sequence": 1.5}]
)
def test_values_that_do_not_fit(change):
    with pytest.raises(ConfigError):
        RtpPacket(**({"sequence": 0, "timestamp": 0, "ssrc": 0, "payload": b""} | change))


def test_payloads_are_numbered_and_the_first_is_marked():
    stream = packetizer(sequence=65_535, timestamp=2**32 - 320)
    packets = [RtpPacket.from_bytes(stream.pack(payload)) for payload in (b"a", b"bc", b"")]
    assert [p.sequence for p in packets] == [65_535, 0, 1]
    assert [p.timestamp for p in packets] == [2**32 - 320, 0, 320]
    assert [p.marker for p in packets] == [True, False, False]
    assert {(p.ssrc, p.payload_type) for p in packets} == {(0xCAFEBABE, 96)}
    assert (stream.packets, stream.payload_bytes) == (3, 3)


def test_streams_start_at_random():
    made = [Packetizer(320) for _ in range(20)]
    for name in ("ssrc", "sequence", "timestamp", "name"):
        assert len({getattr(stream, name) for stream in made}) > 15


def test_a_payload_type_that_is_not_dynamic():
    with pytest.raises(ConfigError, match="96 to 127"):
        Packetizer(320, payload_type=8)


def test_a_goodbye_has_the_bytes_of_the_standard():
    stream = packetizer()
    stream.pack(b"sound")
    report = bytes.fromhex("80c8 0006 cafebabe 83aa7e81 80000000 00000528 00000001 00000005")
    described = bytes.fromhex("81ca 0004 cafebabe 0107") + b"someone" + bytes(3)
    assert stream.report(1.5) == report + described
    assert stream.goodbye(1.5) == report + described + bytes.fromhex("81cb 0001 cafebabe")


@pytest.mark.parametrize("length", range(1, 20))
def test_a_report_has_whole_words_whatever_the_name(length):
    data = packetizer(name="x" * length).report(0.0)
    assert goodbyes(data) == set()
    assert len(data) % 4 == 0


def test_goodbyes_are_told_from_sound():
    stream = packetizer()
    assert is_control(stream.goodbye(0.0)) and not is_control(stream.pack(b""))
    assert goodbyes(stream.report(0.0)) == set()
    assert goodbyes(stream.goodbye(0.0)) == {0xCAFEBABE}
    assert not is_control(b"\x80")


def test_a_reason_for_leaving_is_passed_over():
    both = struct.pack(">BBHII", 0x82, 203, 3, 1, 2) + b"\3end"
    assert goodbyes(bytes.fromhex("80c9 0001 00000001") + both) == {1, 2}


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (bytes.fromhex("81cb 0001 cafebabe"), InvalidField),  # no report first
        (bytes.fromhex("80c9 0002 00000001"), Truncated),
        (bytes.fromhex("80c9 0001 00000001 82cb 0001 00000001"), Truncated),
        (bytes.fromhex("80c9 0001 00000001 40cb 0001 00000001"), InvalidField),
        (bytes.fromhex("80c9 0001 00000001 81"), Truncated),
    ],
)
def test_malformed_control(data, error):
    with pytest.raises(error):
        goodbyes(data)


def test_any_bytes_give_a_packet_or_a_named_error():
    rng = np.random.default_rng(0)
    refused = 0
    for i in range(4000):
        data = bytes([0x80 | int(rng.integers(64))] if i % 2 else []) + rng.bytes(int(rng.integers(60)))
        for read in (RtpPacket.from_bytes, goodbyes):
            try:
                read(data)
            except BitstreamError:
                refused += 1
    assert 4000 < refused < 8000
