"""Sound that another decoder gives frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from soundstream.audio.formats.views import Gap

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,ogg,aac,latm,ac3,eac3,flac,mp3,wav,w64,aiff,au,caf,avi,flv,mpeg,mpegts,"
    "amr,ape,wv,tta,tak,mpc,mpc8,dsf,dts,xwma,rm,voc,sox"
)
"""FFmpeg's names of what may be opened: playlists and the like, which open other files and addresses, are not there."""
NO_SOUND = "it holds no sound"
"""Reason of a file that cannot be opened, though nothing is wrong with it."""
_SLACK_S = 0.25
"""Seconds that a container may say more than there is: it counts what encoders add, and pictures."""


class FrameSound:
    """What FFmpeg decodes, as `soundstream.audio.sndfile.Sound` has it.

    Args:
        frames: float32 [channels, samples], none of them empty.
        duration_s: what the container says; None if it does not.
        gaps: to which the decoder adds what it cannot decode.
    """

    num_samples = None
    """What a container says is never exact."""
    is_float = False

    def __init__(
        self, sample_rate: int, channels: int, frames: Iterable[np.ndarray], duration_s: float | None, gaps: list[Gap]
    ) -> None:
        self.sample_rate, self.channels, self.gaps = sample_rate, channels, gaps
        self._frames, self._duration_s = frames, duration_s
        self.is_cut = False
        """Whether the container ends inside one of its parts."""
        self.tags: dict[str, str] = {}
        """Title, artist and the like."""

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield pcm [channels, samples] of about a second."""
        held, count, given = list[np.ndarray](), 0, 0
        for frame in self._frames:
            held.append(frame)
            count += frame.shape[1]
            if count >= self.sample_rate:
                yield np.concatenate(held, axis=1)
                held, count, given = [], 0, given + count
        if held:
            yield np.concatenate(held, axis=1)
        length_s = (given + count) / self.sample_rate
        if self._duration_s is not None and self._duration_s - length_s > _SLACK_S:
            self.gaps.append(Gap("it says that it is longer", length_s, self._duration_s - length_s))
        elif self.is_cut and not self.gaps:
            self.gaps.append(Gap("it is cut short", length_s))
