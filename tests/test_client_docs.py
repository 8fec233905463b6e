"""The guides to the clients: their examples are run, and print what the guides say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.npm import unavailable

ROOT = Path(__file__).parent.parent
GUIDE = ROOT / "canvas_server" / "docs" / "javascript-client.md"
CLIENT = ROOT / "canvas_server" / "web" / "client" / "index.js"
IMPORT = re.compile(r'^import .* from "/client/index\.js";\n', re.MULTILINE)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server as `make run` starts it: its address, and the token that it made."""
    folder = tmp_path_factory.mktemp("guides")
    command = [sys.executable, "-m", "canvas_server", "serve", "--port", "0", "--data-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        token = (folder / "token").read_text().strip()
        with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
            for title in ("Notes", "Plan"):
                body = {"title": title, "content": f"# {title}\n"}
                assert http.put(f"/api/v2/canvas/{title.lower()}", json=body).status_code == 201
        yield url, token
        server.terminate()
        assert server.wait(15) == 0


def program(guide: Path, url: str, token: str) -> tuple[str, list[str]]:
    """Return the examples of a guide as one module, and the lines that it says they print."""
    source = "".join(re.findall(r"^```js\n(.*?)^```$", guide.read_text(), re.DOTALL | re.MULTILINE))
    imports = "".join(IMPORT.findall(source)).replace("/client/index.js", CLIENT.as_uri())
    where = f"const url = {json.dumps(url)};\nconst token = {json.dumps(token)};\n"
    return imports + where + IMPORT.sub("", source), re.findall(r"^// => (.*)$", source, re.MULTILINE)


def test_the_examples_of_the_javascript_client_print_what_the_guide_says(guarded: tuple[str, str]) -> None:
    node = shutil.which("node")
    if node is None:
        unavailable("node")
    source, told = program(GUIDE, *guarded)
    command = [str(node), "--input-type=module"]
    ran = subprocess.run(command, input=source, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    assert [line for line in ran.stdout.splitlines() if line] == told
    assert len(told) >= 9
