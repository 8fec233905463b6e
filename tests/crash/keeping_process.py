"""Backups and restores in processes of their own, which may be killed.

Run as `python -m tests.crash.keeping_process`: for each line on stdin, a `Job` as JSON, a process is forked that does
it. It tells its id on stdout; when it has ended, `ended` and its exit code are told, negative if it was killed. (Forked
and not started, because the imports would take most of the time.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Literal

import msgspec

from canvas_server.core.errors import CanvasError
from tests.storage.keeping import back_up, restore

ROOT: Final = Path(__file__).parents[2]
STEPS: Final = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.chmod", "os.truncate"}
"""What changes names; a file that is opened to be written is a step too."""
REFUSES: Final = 2


class Job(msgspec.Struct, frozen=True):
    """What is to be done.

    Attributes:
        what: of the two.
        data_dir: the folder.
        file: the backup.
        die_at: kills itself before that step, from 1.
    """

    what: Literal["backup", "restore"]
    data_dir: str
    file: str
    die_at: int = 0


class Keeping:
    """Has jobs done, one at a time."""

    def __init__(self, to: IO[str], told: IO[str]) -> None:
        self._to = to
        self._told = told

    def start(self, job: Job) -> int:
        """Start a job and return the id of its process."""
        print(msgspec.json.encode(job).decode(), file=self._to, flush=True)
        return int(self._told.readline())

    def ending(self) -> int:
        """Wait until it has ended, and return its exit code."""
        return int(self._told.readline().split()[1])

    def do(self, job: Job) -> int:
        """Have a job done and return its exit code."""
        self.start(job)
        return self.ending()


@contextmanager
def keeping() -> Iterator[Keeping]:
    """Give what does jobs."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.keeping_process"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Keeping(process.stdin, process.stdout)


def kill(pid: int) -> None:
    """Kill a process; nothing happens if it has ended by itself."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    decode = msgspec.json.Decoder(Job).decode
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            print(os.getpid(), flush=True)
            os._exit(_do(decode(line)))
        _, status = os.waitpid(process, 0)
        print("ended", os.waitstatus_to_exitcode(status), flush=True)


def _do(job: Job) -> int:
    if job.die_at:
        _die_at(job.die_at)
    try:
        if job.what == "backup":
            back_up(Path(job.data_dir), Path(job.file))
        else:
            restore(Path(job.file), Path(job.data_dir), force=True)
    except CanvasError as error:
        print(error, file=sys.stderr)
        return REFUSES
    return 0


def _die_at(step: int) -> None:
    """Have this process kill itself before it changes a name for the given time."""
    left = step

    def on_event(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in STEPS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)


if __name__ == "__main__":
    main()
