"""Processes that work side by side, and how they end."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

PARENT = """
import os, time
from soundstream.system.processes import in_worker, workers

def tell(seconds):
    print(os.getpid(), flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    with workers(1) as pool:
        pool.submit(in_worker, tell, {seconds}).result()
        time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc, where processes are seen")
@pytest.mark.parametrize("seconds", [60, 0], ids=["at work", "waiting"])
def test_workers_end_with_a_parent_that_is_killed(tmp_path, seconds):
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(seconds=seconds))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as parent:
        worker = Path("/proc", parent.stdout.readline().decode().strip())
        assert (worker / "cmdline").read_bytes()
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not worker.exists()


ASKED = """
import io, os, signal, sys, time
import soundfile
from soundstream.system import processes

def ask():
    os.kill(os.getpid(), signal.SIGTERM)

class Sound(io.BytesIO):
    def tell(self):
        ask()
        return super().tell()

class Thing:
    def __del__(self):
        ask()

processes._AGAIN_S = 1.0
signal.signal(signal.SIGTERM, signal.SIG_DFL)
processes.ending_cleanly()
try:
    print({doing}, flush=True)
    time.sleep(60)
finally:
    print("cleaned up")
"""


@pytest.mark.parametrize(
    ("doing", "done"),
    [("len(soundfile.read(Sound(sys.stdin.buffer.read()))[0])", "1000"), ("Thing() and None", "None")],
    ids=["callback", "finalizer"],
)
def test_an_end_is_heard_where_python_drops_exceptions(doing, done):
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros(1000), 24_000, format="WAV")
    command = [sys.executable, "-c", ASKED.format(doing=doing)]
    ended = subprocess.run(command, input=sound.getvalue(), capture_output=True, check=False, timeout=50)
    assert (ended.returncode, ended.stdout.split(b"\n")) == (128 + signal.SIGTERM, [done.encode(), b"cleaned up", b""])
    assert ended.stderr == b""
