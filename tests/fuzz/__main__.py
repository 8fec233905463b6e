"""Fuzzes parsers by hand, guided by the code that inputs reach: `python -m tests.fuzz NAME [SECONDS]`; `all` for each.

Needs atheris, which `make fuzz` installs. What breaks a law is kept in `tests/fuzz/found/NAME/` and tried again in CI.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import warnings
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

FOUND: Final = Path(__file__).parent / "found"
_TIMEOUT_S: Final = 5
_DONE: Final = re.compile(r"Done (\d+) runs")
_COVERED: Final = re.compile(r"cov: (\d+)")


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one parser in this process, which ends with it."""
    # Not by name: it is installed only where this is run, and has no types.
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["canvas_server"], enable_loader_override=False):
        from tests.fuzz.law import without_warnings
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as work, without_warnings():
        corpus, words = Path(work) / "corpus", Path(work) / "words.dict"
        corpus.mkdir()
        for number, seed in enumerate(target.seeds):
            (corpus / f"seed-{number}").write_bytes(seed)
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        options = [f"-max_total_time={seconds}", f"-timeout={_TIMEOUT_S}", f"-artifact_prefix={folder}/"]
        options += [f"-dict={words}", "-max_len=4096", "-rss_limit_mb=4096", "-print_final_stats=1", str(corpus)]

        def run(data: bytes) -> None:
            try:
                target.run(data)
            except BaseException:
                # libFuzzer keeps what kills or hangs the process, not what merely raises.
                (folder / f"raised-{sha256(data).hexdigest()[:16]}").write_bytes(data)
                raise

        atheris.Setup([sys.argv[0], *options], run)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def run_all(names: list[str], seconds: int) -> bool:
    """Fuzz parsers one after the other, each in a process of its own; tell what came of it."""
    held = True
    for name in names:
        command = [sys.executable, "-m", "tests.fuzz", name, str(seconds), "--here"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        runs, covered = _DONE.findall(done.stderr), _COVERED.findall(done.stderr)
        stats = re.findall(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
        executed = (runs or stats or ["?"])[-1]
        verdict = "held" if done.returncode == 0 else "BROKEN"
        print(f"{name:16} {executed:>10} runs  {(covered or ['?'])[-1]:>6} edges  {verdict}", flush=True)
        if done.returncode:
            held = False
            print(*done.stdout.splitlines()[-40:], *done.stderr.splitlines()[-25:], sep="\n", flush=True)
    return held


def main() -> None:
    """Fuzz."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("names", metavar="NAME", help="a parser, several with commas, or all")
    parser.add_argument("seconds", nargs="?", type=int, default=60, help="for each")
    parser.add_argument("--here", action="store_true", help="in this process")
    chosen = parser.parse_args()
    if chosen.here:
        fuzz(chosen.names, chosen.seconds)
        return
    listed = subprocess.run(
        [sys.executable, "-c", "from tests.fuzz.targets import TARGETS; print(*TARGETS)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    names = listed if chosen.names == "all" else chosen.names.split(",")
    if unknown := set(names) - set(listed):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(listed)}")
    sys.exit(0 if run_all(names, chosen.seconds) else 1)


if __name__ == "__main__":
    main()
