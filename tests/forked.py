"""The command line as a process of its own that starts in milliseconds: forked from one that has imported it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

TIMEOUT_S = 60
"""A command that takes longer is ended by SIGALRM."""


class ForkedCommand:
    """Calls `soundstream` as `subprocess.run` does, with files in the place of pipes and nothing on stdin.

    Starting Python and importing the package takes a second of CPU, which most tests of a command are not about.
    """

    def __init__(self):
        pipe = subprocess.PIPE
        self._server = subprocess.Popen([sys.executable, __file__], stdin=pipe, stdout=pipe, text=True)

    def __call__(self, words, folder):
        """Run the command with these words in a folder; returns exit code (negative: signal), stdout and stderr."""
        with tempfile.TemporaryDirectory() as place:
            outputs = [Path(place, name) for name in ("stdout", "stderr")]
            request = {"words": [*map(str, words)], "folder": str(folder), "outputs": [*map(str, outputs)]}
            print(json.dumps(request), file=self._server.stdin, flush=True)
            code = int(self._server.stdout.readline())
            return subprocess.CompletedProcess(words, code, *(path.read_bytes() for path in outputs))

    def close(self):
        with self._server:
            self._server.stdin.close()


def serve():
    """Answer requests, a line each, until stdin ends."""
    from soundstream.cli import main

    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        child = os.fork()
        if not child:
            _become(main, **request)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(main, words, folder, outputs):
    """Run the command in this process as if it had been started for it."""
    signal.alarm(TIMEOUT_S)
    os.chdir(folder)
    for number, path in enumerate([os.devnull, *outputs]):
        flags = os.O_RDWR | os.O_CREAT if number else os.O_RDONLY
        os.dup2(os.open(path, flags), number)
    sys.stdin, sys.stdout, sys.stderr = (open(n, mode) for n, mode in enumerate("rww"))  # noqa: SIM115, PTH123
    sys.argv = ["soundstream", *words]
    code = 1
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)  # ONNX Runtime waits at its end for a thread that a fork does not have


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        serve()
