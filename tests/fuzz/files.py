"""Files and JSON from outside: settings, prices, the game design document, presets, dialogues, schemas and answers."""

from __future__ import annotations

import atexit
import datetime
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import msgspec

from canvas_server.config import load
from canvas_server.config.load import flatten
from canvas_server.core.dialogue import is_dialogue_id, is_empty, without_stamps
from canvas_server.core.errors import ConfigError
from canvas_server.core.game_design import GameDesign
from canvas_server.core.ids import is_canvas_ref
from canvas_server.core.job import JsonObject
from canvas_server.core.json_value import DEPTH_MAX, is_too_deep
from canvas_server.core.preset import find_obsolete, is_preset_id
from canvas_server.generation.gdd import GameDesignFile
from canvas_server.generation.presets import _preset_of
from canvas_server.generation.pricing import PRICE_MAX, load_prices
from canvas_server.generation.prompt import build_prompt
from canvas_server.generation.providers.instance import instance
from canvas_server.generation.providers.strict import is_strict
from canvas_server.generation.providers.structured import check_schema, fitting, misfit, repair_prompt
from canvas_server.storage.json_folder import parse_object
from canvas_server.web.body import decode
from canvas_server.web.dialogues import _object
from canvas_server.web.presets import _decode_preset
from tests.fuzz.law import Target, parts_of, refused_or

ROOT: Final = Path(__file__).parents[2]
PRESET_ID: Final = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
_DAY: Final = datetime.date(2026, 1, 1)
_encode: Final = msgspec.json.Encoder().encode


@cache
def _folder() -> Path:
    folder = Path(mkdtemp(prefix="canvas-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _file(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


def config(data: bytes) -> None:
    """A file is settings that are all in their bounds, or an error that shows no secret; read again it is the same."""
    path = _file("config.toml", data)
    environ = {"KEY": "sk-canary-of-the-environment", "TOKEN": "canary-0123456789abcdef"}
    try:
        loaded, refusal = load(path, environ=environ), ""
    except ConfigError as error:
        loaded, refusal = None, f"{error} {error.hint}"
    assert "canary" not in refusal
    if loaded is not None:
        assert load(path, environ=environ).settings == loaded.settings
        # What is named in a setting that is no secret is shown: the operator put it there.
        told = loaded.settings
        keys = (told.openai.api_key, told.mistral.api_key, told.local.api_key)
        assert "canary" not in repr([*keys, *told.actors.values()])
        assert all(
            "canary" not in str(value) for name, value in flatten(told).items() if name.endswith((".api_key", ".token"))
        )


def pricing(data: bytes) -> None:
    """A file is a list of exact prices in their bounds, or an error."""
    table = refused_or(lambda: load_prices(_file("pricing.toml", data), "EUR"))
    if table is None:
        return
    for one in table.on(_DAY):
        price = one.price
        for micros in (price.input_micros, price.cached_micros, price.output_micros):
            assert isinstance(micros, int)
            assert 0 <= micros <= PRICE_MAX * 1_000_000
        assert table.find(price.provider, price.model, _DAY).provider == price.provider
    _encode(table.on(_DAY))


def game_design(data: bytes) -> None:
    """A document is read or is trouble, and never a reason to refuse anything."""
    reading = GameDesignFile(_file("gdd.json", data))._parse()
    assert (reading.trouble is None) or reading.design == GameDesign()
    preset = _preset_of(PRESET_ID, {"name": "A", "metadata": _MADE, "configuration": _SCENE})  # type: ignore[arg-type]
    msgspec.json.encode(find_obsolete(preset.configuration, reading.design))
    for lang in ("fr", "en"):
        build_prompt(preset.configuration, reading.design, "A scene.", lang).encode()


def preset(data: bytes) -> None:
    """A preset that comes in, or lies in a file, is one that goes out again as it is."""
    body = refused_or(lambda: decode(_decode_preset, data))
    if body is not None:
        assert decode(_decode_preset, _encode(body)) == body
    value = refused_or(lambda: parse_object(Path("preset.json"), data))
    if value is None:
        return
    kept = refused_or(lambda: _preset_of(PRESET_ID, value))  # type: ignore[arg-type]
    if kept is not None:
        assert is_preset_id(kept.id)
        again = parse_object(Path("preset.json"), _encode(kept))
        assert _preset_of(PRESET_ID, again) == kept  # type: ignore[arg-type]


def dialogue(data: bytes) -> None:
    """A dialogue is an object of bounded depth that comes out as it went in; nothing is lost for being called empty."""
    value = refused_or(lambda: _object(data))
    if value is None:
        return
    assert not is_too_deep(value)
    assert _depth(value) <= DEPTH_MAX
    again = _object(_encode(value))
    assert again == value
    assert _encode(again) == _encode(value)
    assert parse_object(Path("x.json"), _encode(value)) == value
    stripped = without_stamps(value)
    assert without_stamps(stripped) == stripped
    if value.get("nodes") or (isinstance(value.get("content"), str) and str(value["content"]).strip()):
        assert not is_empty(value)
    name = str(value.get("id", ""))
    assert not is_dialogue_id(name) or is_canvas_ref(name)


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _checked(value: JsonObject) -> JsonObject:
    check_schema(value)
    return value


def schema(data: bytes) -> None:
    """A schema is refused, or tells of every answer whether it fits; what fits is an object, whoever answers."""
    told, answer = parts_of(data, 2)
    try:
        value = msgspec.json.decode(told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    # As a request has it: bounded in depth by its type's decoder and in size by the body.
    if not isinstance(value, dict) or is_too_deep(value):
        return
    is_strict(value)
    if refused_or(lambda: _checked(value)) is None:
        return
    made = refused_or(lambda: instance(value))
    for text in (answer.decode("utf-8", "replace"), "{}", _encode(made).decode()):
        wrong = misfit(text, value)
        if wrong is None:
            assert isinstance(fitting(text, value), dict)
        else:
            assert refused_or(lambda text=text: fitting(text, value)) is None  # type: ignore[misc]
            repair_prompt("?", value, text, wrong).encode()


_MADE: Final = {"created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z"}
_SCENE: Final = {
    "characters": ["ada"],
    "locations": ["mill"],
    "region": "north",
    "subLocation": "mill",
    "sceneType": "talk",
    "instructions": "Short.",
}
_SCHEMA: Final = (
    b'{"type":"object","properties":{"a":{"type":"string","pattern":"^a+$","minLength":1},"b":{"type":"array","items":'
    b'{"$ref":"#/$defs/c"},"minItems":1},"n":{"type":"number","multipleOf":0.5,"exclusiveMinimum":0}},"required":["a"],'
    b'"additionalProperties":false,"$defs":{"c":{"anyOf":[{"enum":[1,2]},{"type":"object","properties":{"d":{"$ref":"#"}}}]}}}'
)
_JSON: Final = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"null",
    b"true",
    b"1e400",
    b"-0",
    b"\\ud800",
    b"\\u0000",
    b"{}",
    b"[]",
)
_TOML: Final = (
    b"\n",
    b"[",
    b"]",
    b"[[",
    b"]]",
    b" = ",
    b'"',
    b"'''",
    b"#",
    b"inf",
    b"nan",
    b"1e400",
    b"true",
    b"2026-01-01",
)
_CONFIG: Final = (
    b'[server]\nport = 1\nallowed_hosts = ["a"]\n[openai]\napi_key = "${KEY}"\nbase_url = "http://[::1]:1/v1"\n'
    b'[limits]\nops_max = 5\nfirst_byte_s = 0.5\n[actors.ada]\ntoken = "${TOKEN}"\nrole = "admin"\n'
    b'[cost]\ntime_zone = "Europe/Paris"\ncurrency = "EUR"\nmonthly_quota = 1.5\n'
)

TARGETS: Final = {
    "config": Target(
        config,
        (_CONFIG, b'local.base_url = "http://169.254.1.1"', b"server.port = 65536\n", b'storage.data_dir = "$$x"\n'),
        (*_TOML, b"${KEY}", b"${", b"$$", b"local.base_url", b"http://", b"actors", b"0x7f", b"[::", b"%"),
    ),
    "pricing": Target(
        pricing,
        (
            (ROOT / "data" / "pricing.toml").read_bytes(),
            b'currency = "EUR"\n[[price]]\nprovider="openai"\nmodel="m"\nfrom=2025-01-01\ninput=1.25\noutput=10\n',
            b'currency = "EUR"\n[[price]]\nprovider = "demo"\nmodel = "d"\nfrom = 2025-01-01\nfree = true\n',
        ),
        (*_TOML, b"input", b"cached", b"output", b"free", b"from", b"provider", b"model", b"1e-7", b"1000000", b"-1"),
    ),
    "game-design": Target(game_design, ((ROOT / "data" / "gdd.json").read_bytes()[:4000], b'{"characters":{}}'), _JSON),
    "preset": Target(
        preset,
        (_encode({"name": "One", "icon": "🏰", "metadata": _MADE, "configuration": _SCENE}),),
        (*_JSON, b"characters", b"subLocation", b"metadata", b"\\n", b"\\u007f"),
    ),
    "dialogue": Target(
        dialogue,
        (b'{"id":"a","title":"T","nodes":[{"a":{"b":[1,2.5,-0.0,1e300]}}],"content":" ","saved_at":"","version":"y"}',),
        (*_JSON, b"nodes", b"content", b"[[[[", b'{"a":{"a":'),
    ),
    "schema": Target(
        schema,
        (
            _SCHEMA + b'\xff{"a":"aa","b":[1],"n":0.5}',
            _SCHEMA + b'\xff```json\n{"a":"aa"}\n```',
            b'{"type":"object"}\xff{}',
        ),
        (
            *_JSON,
            b'"$ref":"#/',
            b'"allOf":[',
            b'"not":',
            b'"format":',
            b'"pattern":"(a+)+$"',
            b'"maximum":',
            b'"const":',
            b'"$dynamicRef"',
            b'"unevaluatedProperties":',
            b'"patternProperties":',
            b'"dependentSchemas":',
            b"1e308",
        ),
    ),
}
