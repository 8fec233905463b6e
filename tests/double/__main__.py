"""Run the double by hand: `python -m tests.double --port 9000`; prints its URL."""

from __future__ import annotations

import argparse

import uvicorn

from tests.double.running import address, bound, server_config


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.double", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    with bound(parser.parse_args().port) as sock:
        print(address(sock), flush=True)
        uvicorn.Server(server_config()).run([sock])


if __name__ == "__main__":
    main()
