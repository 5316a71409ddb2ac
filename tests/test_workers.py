"""Processes that work side by side, and how they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
