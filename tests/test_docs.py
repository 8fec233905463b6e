"""What the documents say is so: their commands are run, their examples read by the real code, their links followed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import msgspec
import pytest

from canvas_server.cli import OF_CANVASES, endings
from canvas_server.cli.serving import serve
from canvas_server.config.settings import ServerSettings, Settings
from canvas_server.core import errors
from canvas_server.core.canvas import Author, Canvas
from canvas_server.core.document import Document
from canvas_server.core.event import Ack, ByeReason, Conflict, ConflictReason, ErrorCode, Failure, ResetReason
from canvas_server.core.history import History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.job import CanvasOutput
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Continuation, Operation, check_operation
from canvas_server.core.ports import CanvasKey
from canvas_server.core.preset import Preset
from canvas_server.core.quota import QuotaExceededError
from canvas_server.core.splice import Splice
from canvas_server.core.submission import Submission
from canvas_server.core.version import next_version, parse_etag
from canvas_server.generation.asking import InterruptedJobError
from canvas_server.generation.canvas_client import CanvasRefusedError, CanvasUnavailableError
from canvas_server.generation.ending import JobCancelledError
from canvas_server.generation.providers.failures import NotConfiguredError, ProviderError
from canvas_server.web import problems
from canvas_server.web.job_bodies import JobBody
from canvas_server.web.openapi import openapi_document
from canvas_server.web.openapi.kinds import EVENTS, JOB_EVENTS
from scripts.settings_table import table

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "canvas_server" / "docs"
README = ROOT / "README.md"
ALL = [README, *sorted(DOCS.glob("*.md"))]
CLI = DOCS / "cli.md"
GENERATION = DOCS / "generation.md"
SECURITY = DOCS / "security.md"
PATIENCE_S = 120
END = "\036"
"""Stands between the outputs of scripts that are run in one shell."""
UNSTEADY = (
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "some-id"),
    (r"\b(\d+)-[0-9a-f]{16}\b", r"\1-c"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+]\d\d:\d\d)", "then"),
    (r'"month":"\d{4}-\d\d"', '"month":"this one"'),
    (r"\b\d{13}\b", "0"),
    (r'"duration_ms":[\d.]+', '"duration_ms":0'),
    (r'"server_version":"W/\\"\d+-c\\"","ops":\d+', '"server_version":"","ops":0'),
    (r'"text_chars":\d+', '"text_chars":0'),
    (r"\b\d\d:\d\d:\d\d\b", "then"),
    (r"\bc[\w-]{22}(?=$|\.\d+$| \+\d+$)", "some-id"),
    (r"now at version \d+", "now at version 0"),
)
TOKENS = {"CANVAS_ADA_TOKEN": "a" * 32, "CANVAS_WRITER_TOKEN": "b" * 32}


class Place(NamedTuple):
    """Where a server runs."""

    port: int
    data_dir: Path


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of a document that are in a language."""
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)


def steady(told: str) -> str:
    """Return what is told without what differs from run to run: names, chains, times, and how text was joined."""
    for pattern, replacement in UNSTEADY:
        told = re.sub(pattern, replacement, told, flags=re.MULTILINE)
    return told.strip()


def transcripts(path: Path) -> list[tuple[str, str]]:
    """Return the scripts of a document in order, each with the output shown right after it, or with nothing."""
    return re.findall(
        r"^```sh\n(.*?)^```\n(?:\n^```text(?: events)?\n(.*?)^```$)?", path.read_text(), re.DOTALL | re.MULTILINE
    )


def frames(stream: str) -> list[dict[str, object]]:
    """Return what a job's stream tells, its pieces of text and what was used in between aside."""
    told = [json.loads(line[6:]) for line in steady(stream).splitlines() if line.startswith("data: ")]
    return [frame for frame in told if frame["type"] != "chunk" and not frame.get("estimated")]


def text_of(stream: str) -> str:
    """Return the text that the chunks of a job's stream make."""
    told = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    return "".join(frame.get("content", "") for frame in told)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server that runs as `make run` runs it."""
    command = [sys.executable, "-m", "canvas_server", "serve", "--port", "0", "--data-dir"]
    folder = tmp_path_factory.mktemp("docs")
    with subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        yield Place(int(server.stdout.readline().rpartition(":")[2]), folder)
        server.terminate()
        assert server.wait(15) == 0


def here(script: str, place: Place) -> str:
    """Return a script of a document for the server of this test."""
    return script.replace("localhost:8642", f"127.0.0.1:{place.port}").replace(
        "data/token", str(place.data_dir / "token")
    )


def run(script: str, place: Place) -> str:
    """Run a script of the README against the server on a port."""
    command = ["sh", "-euc", here(script, place)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout


def listening(script: str, place: Place, frames: int) -> Iterator[str]:
    """Run a script that listens, and yield its lines until so many frames with data have come."""
    command = ["sh", "-euc", here(script, place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as listener:
        assert listener.stdout is not None
        try:
            while frames:
                line = listener.stdout.readline()
                assert line, "the stream ended"
                frames -= line.startswith("data: ")
                yield line
        finally:
            os.killpg(listener.pid, signal.SIGTERM)


@pytest.mark.slow
def test_the_readme_s_commands_do_what_it_says(place: Place) -> None:
    listen, write, generate = blocks(README, "sh")[1:]
    (shown,) = (block for block in blocks(README, "text") if block.startswith("id: "))
    (made,) = (block for block in blocks(README, "text") if block.startswith('{"accepted"'))
    heard = listening(listen, place, 4)
    before = ""
    while '"type":"snapshot"' not in before:
        before += next(heard)
    answers, _, generated = run(f"{write}\nprintf '{END}'\n{generate}", place).partition(END)
    after = "".join(heard)
    assert answers.count('"accepted":true') == 2
    assert [frame for frame in before.splitlines() if '"type":"start"' in frame]
    assert steady(after) == steady(shown)
    assert steady(generated) == steady(made)


@pytest.mark.slow
def test_the_commands_of_generation_do_what_it_says(place: Place) -> None:
    scripts, shown = zip(*transcripts(GENERATION), strict=True)
    assert len(scripts) >= 10
    told = run("".join(f"{script}\nprintf '{END}'\n" for script in scripts), place).split(END)
    for script, output, expected in zip(scripts, told, shown, strict=False):
        begins, is_cut, ends = expected.partition("...\n")
        if is_cut:
            assert frames(output) == frames(expected)
            assert text_of(output).startswith(text_of(begins))
            assert text_of(output).endswith(text_of(ends))
        elif expected:
            assert steady(output) == steady(expected), script


@pytest.mark.slow
def test_the_commands_of_the_command_line_do_what_it_says(place: Place, tmp_path: Path) -> None:
    """They are run in a folder where the data lies, and shown with all that a person sees."""
    (tmp_path / "data").symlink_to(place.data_dir)
    scripts, shown = zip(*transcripts(CLI), strict=True)
    assert len(scripts) >= 7
    script = "exec 2>&1\n" + "".join(f"{script}\nprintf '{END}'\n" for script in scripts)
    command = ["sh", "-euc", script]
    environ = with_program(tmp_path)
    told = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=True, cwd=tmp_path, env=environ
    )
    for script, output, expected in zip(scripts, told.stdout.split(END), shown, strict=False):
        assert steady(output) == steady(expected), script


def with_program(folder: Path) -> dict[str, str]:
    """Put the program into a folder, under its name, and return an environment that finds it there."""
    (folder / "canvas-server").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m canvas_server "$@"\n')
    (folder / "canvas-server").chmod(0o700)
    kept = {name: value for name, value in os.environ.items() if name not in ("CANVAS_TOKEN", "CANVAS_URL")}
    return {**kept, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def test_the_account_of_the_command_line_names_each_of_its_commands_and_exit_codes() -> None:
    text = CLI.read_text()
    named = re.findall(r"^\| `([a-z]+)[^`]*` \|", text, re.MULTILINE)
    assert sorted(named) == sorted(str(command.name) for command in OF_CANVASES)
    codes = {value for name, value in vars(endings).items() if name.startswith("EXIT_")}
    assert set(map(int, re.findall(r"^\| (\d+) \|", text, re.MULTILINE))) == codes | {0}


@pytest.mark.slow
def test_the_commands_of_backups_do_what_the_manual_says(tmp_path: Path) -> None:
    """They are run in order in a folder of their own, beside a server until the one that needs it stopped."""
    scripts = blocks(DOCS / "running.md", "sh")
    assert len(scripts) >= 4
    *beside, stopped = scripts
    assert "--force" in stopped
    environ = with_program(tmp_path)

    def told(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-euc", script],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            cwd=tmp_path,
            env=environ,
        )

    serve = [str(tmp_path / "canvas-server"), "serve", "--port", "0"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().rpartition(":")[2])
        token = (tmp_path / "data" / "token").read_text().strip()
        headers = f"-H 'Authorization: Bearer {token}' -H 'Content-Type: application/json'"
        put = f"curl -sSf -X PUT localhost:{port}/api/v2/canvas/notes {headers} -d "
        assert told(put + """'{"content": "# Notes"}'""").returncode == 0
        for script in beside:
            done = told(script)
            assert done.returncode == 0, done.stderr
        assert "is in use by process" in told(stopped).stderr
        server.terminate()
        assert server.wait(15) == 0
    assert told(stopped).returncode == 0
    assert (tmp_path / "trial-texts" / "notes.md").read_text() == "# Notes"
    (before,) = (tmp_path / "data").glob("before-restore-*")
    assert told(f"canvas-server export --all -o texts --data-dir {before}").returncode == 0
    assert (tmp_path / "texts" / "notes.md").read_text() == "# Notes"


def test_the_readme_s_output_is_of_one_history() -> None:
    (shown,) = (block for block in blocks(README, "text") if block.startswith("id: "))
    ack, conflict = (json.loads(line[6:]) for line in shown.splitlines() if line.startswith("data: "))
    base = parse_etag(ack["base_version"])
    assert base is not None
    changes = msgspec.convert(ack["changes"], tuple[Splice, ...])
    assert next_version(base, ack["op_id"], changes).etag == ack["server_version"] == conflict["expected_version"]


def test_make_run_is_a_verb() -> None:
    assert "make run" in blocks(README, "sh")[0]
    assert re.search(r"^run: .*##", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_readme_names_the_address_that_is_the_default() -> None:
    server = ServerSettings()
    assert (server.host, server.port) == ("127.0.0.1", 8642)
    assert set(re.findall(r"localhost:(\d+)", README.read_text())) == {str(server.port)}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_a_heading_of_this_repository(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name) if name else path
        assert target.is_file(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(path: Path) -> None:
    for name in re.findall(r"`((?:core|state|storage|generation|web|config|tests|scripts)/[\w/.]+)`", path.read_text()):
        assert (ROOT / name).exists() or (ROOT / "canvas_server" / name).exists(), name


def test_the_table_of_settings_is_the_generated_one() -> None:
    assert table() in (DOCS / "running.md").read_text(), "python -m scripts.settings_table prints it"


@pytest.mark.slow
def test_the_example_of_a_settings_file_is_one(tmp_path: Path) -> None:
    (example,) = blocks(DOCS / "running.md", "toml")
    file = tmp_path / "config.toml"
    file.write_text(example)
    told = subprocess.run(
        [sys.executable, "-m", "canvas_server", "config", "--config", str(file), "--json"],
        env={**os.environ, **TOKENS},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        cwd=ROOT,
    )
    settings = json.loads(told.stdout)["settings"]
    given = {f"{name}.{key}" for name, values in tomllib.loads(example).items() if name != "actors" for key in values}
    assert given
    assert all(settings[name]["origin"] != "default" for name in given)


def hardened_unit() -> str:
    """Return the systemd unit of the account of security; it stands in a list."""
    (unit,) = re.findall(r"^   ```text\n(   \[Unit\]\n.*?)^   ```$", SECURITY.read_text(), re.DOTALL | re.MULTILINE)
    return dedent(unit)


def test_the_hardened_unit_lets_the_server_write_where_the_text_puts_things() -> None:
    """All that systemd makes writable it makes for the user of the unit alone, as the server wants it."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(hardened_unit())
    service = parser["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["User"] != "root"
    assert (service["StateDirectoryMode"], service["RuntimeDirectoryMode"]) == ("0700", "0700")
    _program, name, *options = shlex.split(service["ExecStart"])
    assert name == serve.name
    data_dir = serve.make_context(name, options).params["data_dir"]
    assert data_dir == f"/var/lib/{service['StateDirectory']}"
    sockets = re.findall(r'server\.unix_socket = "(.*?)"', SECURITY.read_text() + (DOCS / "running.md").read_text())
    assert {str(Path(socket).parent) for socket in sockets} == {f"/run/{service['RuntimeDirectory']}"}
    backups = re.findall(r"canvas-server backup .*--data-dir (\S+)", (DOCS / "running.md").read_text())
    assert set(backups) == {data_dir}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_nothing_wrong_with_the_hardened_unit(tmp_path: Path) -> None:
    unit = tmp_path / "canvas.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", hardened_unit(), flags=re.MULTILINE))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


def test_the_manual_names_each_file_of_the_data_folder_once() -> None:
    (rows,) = re.findall(
        r"^\| in the folder \|.*\n\| --- .*\n((?:\|.*\n)+)", (DOCS / "running.md").read_text(), re.MULTILINE
    )
    names = [name for row in rows.splitlines() for name in re.findall(r"`(.+?)`", row.split("|")[1])]
    assert len(names) >= 8
    assert len(set(names)) == len(names)


def outcomes(canvas: Canvas, *requests: dict[str, object]) -> Iterator[Ack | Conflict | Failure]:
    """Send each operation as a request of its own."""
    for request in requests:
        operation = msgspec.convert(request, Operation)
        check_operation(operation, Limits(), "")
        submission = Submission(canvas, Author("local", "human", None), "utf16", Limits())
        yield submission.step(operation, 1_795_269_324_712).event


@pytest.fixture
def canvas() -> Canvas:
    """The canvas that the examples of the protocol are about."""
    version = parse_etag('W/"0-1646beb010371119"')
    assert version is not None
    document = Document("# Notes\n\n## Ideas\n\nOne.\n", version)
    return Canvas(CanvasKey(1), CanvasRef("notes"), "Notes", document, History(version, 100))


def test_every_operation_in_the_protocol_can_be_applied_one_after_the_other(canvas: Canvas) -> None:
    examples = [json.loads(example) for example in blocks(DOCS / "protocol.md", "json operation")]
    assert len(examples) >= 6
    for event in outcomes(canvas, *examples):
        assert isinstance(event, Ack), event
    text = "<!-- by Ada -->\n# Notes of Ada\n\n## Thoughts\n\nOne.\n\nFrom ada.\n"
    assert str(canvas.document.text) == text


def test_the_streamed_request_in_the_protocol_makes_one_text(canvas: Canvas) -> None:
    (example,) = blocks(DOCS / "protocol.md", "ndjson")
    first, *rest = example.splitlines()
    submission = Submission(canvas, Author("local", "human", None), "utf16", Limits())
    told = [submission.step(msgspec.json.decode(first, type=Operation), 0)]
    told += [submission.step(msgspec.json.decode(line, type=Continuation), 0) for line in rest]
    assert [outcome.event.op_id for outcome in told] == ["answer", "answer.1", "answer.2"]
    assert str(canvas.document.text).endswith("One.\n\nThe first words and the next ones.\n")


def test_the_acks_and_conflicts_in_the_protocol_are_what_the_rules_say(canvas: Canvas) -> None:
    operation = json.loads(blocks(DOCS / "protocol.md", "json operation")[0])
    rival = {**operation, "op_id": "bob-1", "scope": "canvas", "content": "From bob."}
    lost = {**rival, "op_id": "ada-2", "scope": "range", "target": {"type": "text", "text": {"match": "Onne"}}}
    told = [json.loads(example) for example in blocks(DOCS / "protocol.md", "json event")]
    assert [json.loads(msgspec.json.encode(event)) for event in outcomes(canvas, operation, rival, lost)] == told


def test_every_event_in_the_protocol_is_one() -> None:
    by_tag = {kind.__struct_config__.tag: kind for kind in EVENTS}
    examples = blocks(DOCS / "protocol.md", "json event")
    assert len(examples) >= 3
    for example in examples:
        msgspec.json.decode(example, type=by_tag[json.loads(example)["type"]])


@pytest.mark.parametrize(
    "names",
    [ConflictReason, ErrorCode, ByeReason, ResetReason],
    ids=["conflict reasons", "error codes", "bye reasons", "reset reasons"],
)
def test_the_protocol_names_every_word_of(names: object) -> None:
    text = (DOCS / "protocol.md").read_text()
    words = getattr(names, "__args__", ())
    assert words
    assert [word for word in words if f"`{word}`" not in text] == []


def test_the_protocol_names_every_event_with_every_field() -> None:
    text = (DOCS / "protocol.md").read_text()
    fields = {field.encode_name for kind in EVENTS for field in msgspec.structs.fields(kind)}
    tags = {str(kind.__struct_config__.tag) for kind in EVENTS}
    assert [name for name in sorted(fields | tags) if f"`{name}`" not in text] == []


def test_the_protocol_names_every_limit_that_start_tells() -> None:
    text = (DOCS / "protocol.md").read_text()
    assert [field for field in Limits.__struct_fields__ if f"`{field}`" not in text] == []


def test_the_documents_have_the_status_of_every_problem() -> None:
    text = (DOCS / "protocol.md").read_text() + GENERATION.read_text()
    document = json.loads(msgspec.json.encode(openapi_document()))
    refused = {
        (status, code)
        for item in document["paths"].values()
        for operation in item.values()
        for status, answer in operation["responses"].items()
        for code in answer.get("x-codes", ())
    }
    refused |= {
        (str(problems.status_of(kind.__new__(kind))), kind.code)
        for module in (errors, problems)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, errors.CanvasError) and kind is not errors.ConfigError
    }
    assert len(refused) > 20
    assert [one for one in sorted(refused) if "| {} | `{}` |".format(*one) not in text] == []


def test_the_documents_name_every_path_and_method() -> None:
    text = (DOCS / "protocol.md").read_text() + GENERATION.read_text()
    paths = openapi_document()["paths"]
    assert isinstance(paths, dict)
    for path, item in paths.items():
        for method in item:
            assert f"`{method.upper()} {path}`" in text, (method, path)


def kinds_below(kind: type[errors.CanvasError]) -> Iterator[type[errors.CanvasError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds_below(below)


def test_the_account_of_generation_names_every_end_of_a_job() -> None:
    text = GENERATION.read_text()
    kinds: list[type[errors.CanvasError]] = [*kinds_below(ProviderError), errors.CanvasError]
    kinds += [JobCancelledError, InterruptedJobError, QuotaExceededError, errors.StorageUnavailableError]
    kinds += [CanvasRefusedError, CanvasUnavailableError]
    told = re.findall(r"^\| `([A-Z_]+)` \| (?:cancelled|failed|interrupted) \|", text, re.MULTILINE)
    assert set(told) == {kind.code for kind in kinds} - {NotConfiguredError.code}


def test_the_account_of_generation_names_every_event_with_every_field() -> None:
    text = GENERATION.read_text()
    fields = {field.encode_name for kind in JOB_EVENTS for field in msgspec.structs.fields(kind)}
    tags = {str(kind.__struct_config__.tag) for kind in JOB_EVENTS}
    assert [name for name in sorted(fields | tags) if f"`{name}`" not in text] == []


def test_the_account_of_generation_names_every_field_of_a_request() -> None:
    text = GENERATION.read_text()
    assert [field for field in JobBody.__struct_fields__ if f"`{field}`" not in text] == []
    assert [field for field in CanvasOutput.__struct_fields__ if f"`{field}`" not in text] == []


def test_the_settings_that_matter_have_the_defaults_that_are_told() -> None:
    settings = Settings()
    told = re.findall(r"^\| `(\w+)\.(\w+)` \| (\S+) \|", GENERATION.read_text(), re.MULTILINE)
    assert len(told) >= 10
    for section, name, default in told:
        value = json.dumps(getattr(getattr(settings, section), name))
        assert value.removesuffix(".0") == default.strip("`"), (section, name)


def test_the_example_of_a_preset_is_the_one_that_is_shipped() -> None:
    (example,) = blocks(GENERATION, "json")
    preset = msgspec.json.decode(example, type=Preset)
    assert preset == msgspec.json.decode((ROOT / "data" / "presets" / f"{preset.id}.json").read_bytes(), type=Preset)


def test_every_default_limit_in_words_is_the_default() -> None:
    limits = Settings().limits
    text = (DOCS / "protocol.md").read_text()
    assert f"1 to {limits.ops_max} operations" in text
    assert f"at most {limits.listen_refs_max} canvases" in text
    assert limits.body_bytes_max == 1024 * 1024
    assert "1 MiB" in text
