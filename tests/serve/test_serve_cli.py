"""The command `serve`: a real server in a process of its own, and what is said when it cannot start."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress

import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

from soundstream.serve.running import examples_in

INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""What a background job of a shell is not, nor are the processes that it starts."""
SERVE = (sys.executable, "-c", f"{INTERRUPTIBLE}; from soundstream.cli import main; main()", "serve", "--port", "0")


@contextmanager
def served(*options):
    """A running server's address, and its process; it is interrupted as Ctrl+C does."""
    with subprocess.Popen([*SERVE, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("Listening on http://"), process.stderr.read()
            yield line.split()[2], process
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            process.kill()


def run(*options):
    return subprocess.run([*SERVE, *options], capture_output=True, text=True, timeout=60)


def test_the_server_prints_its_address_and_ends_when_interrupted(tiny_artifact, tmp_path):
    soundfile.write(tmp_path / "hum.flac", np.zeros(8000), 8000)
    with served("--model", str(tiny_artifact), "--clips", str(tmp_path)) as (address, process):
        assert address.startswith("http://127.0.0.1:")
        about = json.load(urllib.request.urlopen(f"{address}/about", timeout=10))
        with connect(f"{address}/session".replace("http", "ws")) as line:
            line.send("garbage")
            error = json.loads(line.recv(timeout=10))
    assert about["examples"] == ["hum.flac"] and about["models"][0]["name"] == tiny_artifact.name
    assert error["name"] == "ConfigError"
    assert process.returncode in (0, -signal.SIGINT)


def test_a_server_for_the_network_says_who_can_reach_it(tiny_artifact):
    with served("--model", str(tiny_artifact), "--host", "0.0.0.0") as (_, process):
        assert "anyone who reaches 0.0.0.0" in process.stderr.readline()


def test_a_port_in_use_is_an_error_in_one_line(tiny_artifact):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("--model", str(tiny_artifact), "--port", str(taken.getsockname()[1]))
    assert result.returncode == 1
    assert result.stderr.startswith("error: cannot listen on 127.0.0.1") and result.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--model", "--clips"])
def test_a_folder_that_is_none_is_an_error_in_one_line(option):
    result = run(option, "nowhere")
    assert result.returncode == 1
    assert "nowhere" in result.stderr and result.stderr.count("\n") == 1


def test_a_missing_extra_is_named_with_its_install_line():
    code = "import sys; sys.modules['starlette'] = None; from soundstream.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code, "serve"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "pip install 'soundstream-codec[serve]'" in result.stderr


def test_only_audio_files_are_examples(tmp_path):
    for name in ("b.flac", "a.WAV", "notes.txt", ".flac"):
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    assert list(examples_in(tmp_path)) == ["a.WAV", "b.flac"]
    assert examples_in(tmp_path / "nowhere") == {}
