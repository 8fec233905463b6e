"""The files of the JavaScript client: what they promise by their types, as a package, and as the server gives them out.

How the client behaves is tested by `*.test.mjs`, which run here through Node, and by the other tests beside this one.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from canvas_server import __version__
from tests.npm import installed
from tests.serving import IN_MEMORY, Served, serving
from tests.web.test_page_files import FORBIDDEN_IN_SCRIPTS, MODULE_LINES_MAX, PAGE, names, require

ROOT: Final = Path(__file__).parents[3]
CLIENT: Final = ROOT / "canvas_server" / "web" / "client"
FILES: Final = sorted(path for path in CLIENT.iterdir() if path.is_file())
SCRIPTS: Final = [path for path in FILES if path.suffix == ".js"]
TESTS: Final = Path(__file__).parent
COMPILER: Final = "typescript@7.0.2"
REACT: Final = ("react@19.3.1", "react-test-renderer@19.3.1")
REACT_TYPES: Final = "@types/react@19.3.3"


def run(*command: str | Path, cwd: Path | None = None, timeout_s: int = 100) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=cwd)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_the_client_does_what_its_own_tests_say() -> None:
    tests = sorted(TESTS.glob("*.test.mjs"))
    assert tests
    run(require("node"), "--test", *tests)


@pytest.mark.slow
@pytest.mark.parametrize("folder", [CLIENT, PAGE], ids=["client", "page"])
def test_the_types_in_the_comments_are_true(folder: Path, tmp_path: Path) -> None:
    """TypeScript's compiler checks each use against what is said of it."""
    tools = installed(COMPILER, REACT_TYPES)
    modules = tools / "node_modules"
    options: dict[str, object] = {
        "noEmit": True,
        "allowJs": True,
        "checkJs": True,
        "strict": True,
        "target": "es2023",
        "lib": ["es2023", "dom", "dom.iterable", "dom.asynciterable"],
        "module": "esnext",
        "moduleResolution": "bundler",
        "skipLibCheck": True,
        "types": [],
        "paths": {"react": [str(modules / "@types" / "react")], "csstype": [str(modules / "csstype")]},
    }
    if folder == PAGE:
        options |= of_the_editor(tmp_path)
    files = [*map(str, sorted(folder.glob("*.js"))), str(TESTS / "globals.d.ts")]
    project = tmp_path / "tsconfig.json"
    project.write_text(json.dumps({"compilerOptions": options, "files": files}))
    run(require("node"), modules / "typescript" / "bin" / "tsc", "-p", project)


def of_the_editor(folder: Path) -> dict[str, object]:
    """Return the options by which `./codemirror.js` has the types of what it is bundled from, in the same versions."""
    sources = ROOT / "scripts" / "editor"
    lock = json.loads((sources / "package-lock.json").read_text())["packages"]
    wanted = (f"{name}@{lock[f'node_modules/{name}']['version']}" for name in lock[""]["dependencies"])
    modules = installed(*wanted) / "node_modules"
    types = folder / "types"
    types.mkdir()
    (types / "codemirror.d.ts").write_text(
        re.sub(r'^import "./.*\n', "", (sources / "entry.js").read_text(), flags=re.MULTILINE)
    )
    paths = {"@codemirror/*": [f"{modules}/@codemirror/*"], "@lezer/*": [f"{modules}/@lezer/*"]}
    return {"rootDirs": [str(PAGE), str(types)], "paths": paths}


@pytest.mark.parametrize("path", SCRIPTS, ids=names(SCRIPTS))
def test_a_script_imports_only_its_neighbours_and_one_of_them_react(path: Path) -> None:
    imported = re.findall(r'\b(?:from|import)\s*\(?\s*"([^"]+)"', path.read_text(encoding="utf-8"))
    foreign = [name for name in imported if not (name.startswith("./") and (CLIENT / name).is_file())]
    assert foreign == (["react"] if path.name == "react.js" else [])


@pytest.mark.parametrize("path", SCRIPTS, ids=names(SCRIPTS))
def test_a_script_opens_with_what_it_is_stays_small_and_names_no_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("/**\n")
    assert text.count("\n") <= MODULE_LINES_MAX
    assert re.findall(r"https?://", text) == []
    assert [word for word in FORBIDDEN_IN_SCRIPTS if word in text] == []


def test_the_package_has_the_version_of_the_server_and_needs_nothing_else() -> None:
    package = json.loads((CLIENT / "package.json").read_text())
    assert package["version"] == __version__
    assert "dependencies" not in package
    exported = {name.removeprefix("./") for name in package["exports"].values()}
    assert exported <= {path.name for path in FILES}


@pytest.mark.slow
def test_the_package_can_be_installed_from_its_folder_and_imported_by_name(tmp_path: Path) -> None:
    run(require("npm"), "install", "--no-audit", "--no-fund", "--offline", CLIENT, cwd=tmp_path)
    script = 'import { ChangeSet } from "canvas-server-client"; console.log(ChangeSet.of([]).isEmpty);'
    assert run(require("node"), "--input-type=module", "-e", script, cwd=tmp_path) == "true\n"


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_a_file_is_given_to_everybody_and_kept_until_it_is_another(served: Served, path: Path) -> None:
    answer = served.http.get(f"/client/{path.name}", headers={"Origin": "https://elsewhere.example"})
    assert answer.content == path.read_bytes()
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"].startswith("text/javascript" if path.suffix == ".js" else "application/json")
    again = served.http.get(f"/client/{path.name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_listed_origin_is_told_of_one_allowed_origin_and_not_of_two() -> None:
    listed = "https://app.example"
    settings = replace(IN_MEMORY, server=replace(IN_MEMORY.server, allowed_origins=(listed,)))
    with serving(settings) as served:
        answer = served.http.get("/client/index.js", headers={"Origin": listed})
        assert answer.headers.get_list("access-control-allow-origin") == [listed]


def test_a_file_that_is_not_there_is_a_404(served: Served) -> None:
    assert served.http.get("/client/nothing.js").status_code == 404


@pytest.mark.slow
def test_the_hook_shows_the_text_as_it_becomes_and_writes_into_it(served: Served) -> None:
    canvas = served.canvas("Hello")
    tools = installed(*REACT)
    script = (TESTS / "hook.mjs").read_text().replace("../../../canvas_server/web/client", str(CLIENT))
    told = json.loads(run(require("node"), "--input-type=module", "-e", script, served.url, canvas.ref, cwd=tools))
    assert told == {"first": "", "loaded": "Hello", "written": "Hello!", "event": "ack", "closed": True}
    assert canvas.text == "Hello!?"
