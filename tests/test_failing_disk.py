import errno
import io

import numpy as np
import pytest
import soundfile

from soundstream import audio
from soundstream.bitstream import Reader
from soundstream.errors import InputError


class Failing(io.BytesIO):
    """A file on a disk that gives up behind some of its bytes."""

    name = "bad.wav"

    def __init__(self, data, good):
        super().__init__(data)
        self.good = good

    def read(self, size=-1):
        if self.tell() + max(size, 0) > self.good:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("form", ["WAV", "FLAC"])
def test_what_a_disk_refuses_is_an_error_that_names_the_file_and_not_the_end(form, share):
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).uniform(-0.5, 0.5, 200_000), 24_000, format=form)
    data = file.getvalue()
    with (
        pytest.raises(InputError, match=r"bad\.wav.*Input/output error"),
        audio.open_reader(Failing(data, int(share * len(data)))) as reader,
    ):
        list(reader)


def test_a_nac_file_too(tmp_path, codec):
    data = codec.encode(np.zeros(24_000, np.float32), 24_000)
    with pytest.raises(InputError, match=r"bad\.wav.*Input/output error"):
        list(Reader(Failing(data, len(data) // 2)))
