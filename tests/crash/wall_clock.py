"""A wall clock that a test sets under a running process, by Debian's libfaketime; the monotonic one stays right."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.crash.programs import require

_LIBRARY: Final = re.compile(r"LD_PRELOAD=(\S+)")


class WallClock:
    """The clock of the processes that are started in its environment.

    Args:
        file: where it is told what time it is.
    """

    def __init__(self, file: Path) -> None:
        require("faketime")
        self._file = file
        self.shift(0)

    def shift(self, by_s: int) -> None:
        """Set it that far from the clock of this machine; processes see it within a second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{by_s:+d}\n")
        new.replace(self._file)

    def environment(self) -> Mapping[str, str]:
        """Return the variables of a process that is to have this clock."""
        # Not the library with locks of its own (-m): under it, threads now and then wait for each other for ever.
        told = subprocess.run(["faketime", "now", "env"], capture_output=True, text=True, check=True).stdout
        library = _LIBRARY.search(told)
        assert library is not None, told
        return {
            **os.environ,
            "LD_PRELOAD": library[1],
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
