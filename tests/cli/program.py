"""The program as people run it: in this process where that is quick, or as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from click.testing import CliRunner, Result

from canvas_server.cli import main
from tests.listener import PATIENCE_S

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Program:
    """Runs commands against one server.

    Attributes:
        url: of the server; nowhere if empty.
        folder: where commands run.
    """

    url: str
    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, stdin: str | bytes | None = None, **environ: str) -> Result:
        """Run a command in this process."""
        given: dict[str, str | None] = {"CANVAS_TOKEN": None, "CANVAS_URL": self.url or None, **self.environ, **environ}
        return CliRunner(env=given).invoke(main, arguments, input=stdin)

    def out(self, *arguments: str, stdin: str | bytes | None = None, **environ: str) -> str:
        """Run a command that succeeds, and return what is on stdout."""
        result = self.run(*arguments, stdin=stdin, **environ)
        assert result.exit_code == 0, result.output
        return result.stdout

    @contextmanager
    def process(
        self, *arguments: str, stdin: int | IO[bytes] | None = subprocess.PIPE, **environ: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command as a process of its own; it is killed at the end of the block, if it lives."""
        kept = {name: value for name, value in os.environ.items() if name not in ("CANVAS_TOKEN", "CANVAS_URL")}
        url = {"CANVAS_URL": self.url} if self.url else {}
        with subprocess.Popen(
            [sys.executable, "-m", "canvas_server", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env={**kept, "PYTHONPATH": str(ROOT), **url, **self.environ, **environ},
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def ended(self, process: subprocess.Popen[bytes], stdin: bytes = b"") -> tuple[int, str, str]:
        """Give a process the rest of its input, wait for its end, and return code, stdout and stderr."""
        out, err = process.communicate(stdin, timeout=PATIENCE_S)
        return process.returncode, out.decode(), err.decode()
