"""`canvas_server.config`: sources, precedence, checks and what an error says."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.config import Loaded, Secret, Settings, flatten, load
from canvas_server.config.schema import actor_keys, keys
from canvas_server.config.sources import CONVENTIONAL, variable_of
from canvas_server.core.errors import ConfigError
from scripts.settings_table import table

TOKEN = "correct-horse-battery-staple"
OTHER_TOKEN = "wrong-horse-battery-staple"
PLAIN = sorted(name for name, key in keys().items() if not key.is_secret)
SECRET = sorted(keys().keys() - set(PLAIN))


class Loader(Protocol):
    """Writes a text to `config.toml` and loads it."""

    def __call__(self, text: str, environ: Mapping[str, str] = ..., /) -> Loaded: ...


@pytest.fixture
def load_text(tmp_path: Path) -> Loader:
    def load_it(text: str, environ: Mapping[str, str] = MappingProxyType({}), /) -> Loaded:
        (tmp_path / "config.toml").write_text(text)
        return load(environ=environ, directory=tmp_path)

    return load_it


def refusal(load_it: Callable[[], Loaded]) -> str:
    """Return what the refusal says, message and hint."""
    with pytest.raises(ConfigError) as caught:
        load_it()
    return f"{caught.value} / {caught.value.hint}"


def test_without_any_source_every_setting_has_its_default(tmp_path: Path) -> None:
    loaded = load(environ={}, directory=tmp_path)

    assert loaded.settings == Settings()
    assert loaded.file is None
    assert set(loaded.origins.values()) == {"default"}


def test_the_defaults_keep_their_own_rules() -> None:
    for key in keys().values():
        assert msgspec.convert(key.default, key.type) == key.default


def test_a_later_source_wins_and_is_named_as_the_origin(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[server]\nport = 1\nhost = "127.0.0.2"\n[log]\nlevel = "error"')

    loaded = load(
        environ={"CANVAS_SERVER_PORT": "2", "CANVAS_SERVER_HOST": "127.0.0.3"},
        flags={"server.port": 3},
        directory=tmp_path,
    )

    assert (loaded.settings.server.port, loaded.settings.server.host, loaded.settings.log.level) == (
        3,
        "127.0.0.3",
        "error",
    )
    assert loaded.origins["server.port"] == "--port"
    assert loaded.origins["server.host"] == "environment variable CANVAS_SERVER_HOST"
    assert loaded.origins["log.level"] == str(tmp_path / "config.toml")
    assert loaded.origins["log.format"] == "default"


def test_the_named_file_wins_over_the_variable_and_the_variable_over_the_default_file(tmp_path: Path) -> None:
    for port, name in enumerate(("named.toml", "variable.toml", "config.toml"), start=1):
        (tmp_path / name).write_text(f"server.port = {port}")

    def port_of(file: Path | None, environ: Mapping[str, str]) -> int:
        return load(file, environ=environ, directory=tmp_path).settings.server.port

    assert port_of(tmp_path / "named.toml", {"CANVAS_CONFIG": "variable.toml"}) == 1
    assert port_of(None, {"CANVAS_CONFIG": "variable.toml"}) == 2
    assert port_of(None, {}) == 3


def test_a_named_file_that_is_absent_is_an_error(tmp_path: Path) -> None:
    said = refusal(lambda: load(tmp_path / "absent.toml", environ={}))

    assert "absent.toml cannot be read: No such file or directory" in said


@pytest.mark.parametrize("content", [b"[server", b"\xff\xfe", b"server = 1", b"actors = 1", b"[actors]\nanna = 1"])
def test_a_file_that_is_no_settings_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(content)

    assert "config.toml" in refusal(lambda: load(environ={}, directory=tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server.prot = 1", "unknown setting server.prot in"),
        ("server.prot = 1", "did you mean server.port?"),
        ("server.heartbeat_s = 1", "did you mean stream.heartbeat_s?"),
        ("servers.port = 1", "unknown section [servers] in"),
        ("servers.port = 1", "did you mean server?"),
        ("zzz.port = 1", "`canvas-server config` lists all settings"),
        ("actors.anna.tokn = 1", "did you mean actors.anna.token?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known(load_text: Loader, text: str, message: str) -> None:
    assert message in refusal(lambda: load_text(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server.port = 65536", "server.port is 65536, not a whole number from 0 to 65535 ("),
        ("server.port = -1", "server.port is -1, not"),
        ('server.port = "8642"', "server.port is '8642', not"),
        ("server.port = true", "server.port is True, not"),
        ("server.docs = 1", "server.docs is 1, not true or false"),
        ('server.http = "http2"', 'server.http is \'http2\', not "h11" or "httptools"'),
        ('server.host = ""', "server.host is '', not a text of 1 to 4096 plain characters"),
        ('server.allowed_hosts = "a"', "server.allowed_hosts is 'a', not a list"),
        ("checkpoint.interval_s = nan", "checkpoint.interval_s is nan, not a number from 0.01"),
        ("checkpoint.interval_s = inf", "checkpoint.interval_s is inf, not a number from 0.01"),
        ('storage.data_dir = "a\\u0000b"', "storage.data_dir is 'a\\x00b', not"),
        ('generation.provider = "oracle"', "generation.provider is 'oracle', not \"demo\" or"),
        ('openai.base_url = "ftp://x"', "openai.base_url is 'ftp://x', not an address that begins with http://"),
        ('openai.base_url = "https://me:pw@x"', "openai.base_url is"),
        ('cost.time_zone = "Europe/Pari"', "cost.time_zone is 'Europe/Pari', not a time zone ("),
        ('cost.time_zone = "Europe/Pari"', "did you mean Europe/Paris?"),
        ('cost.time_zone = "../../etc/passwd"', "cost.time_zone is '../../etc/passwd', not a time zone ("),
        ('cost.time_zone = "Europe"', "cost.time_zone is 'Europe', not a time zone ("),
        ('cost.time_zone = "?"', "write an IANA name, such as Europe/Paris or UTC"),
    ],
)
def test_a_value_out_of_type_or_bounds_is_refused_with_what_was_expected(
    load_text: Loader, text: str, message: str
) -> None:
    said = refusal(lambda: load_text(text))

    assert message in said
    assert "config.toml)" in said


def test_a_whole_number_does_for_a_number(load_text: Loader) -> None:
    assert load_text("checkpoint.interval_s = 8").settings.checkpoint.interval_s == 8.0


def test_limits_that_contradict_each_other_are_refused_with_both_origins(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("limits.content_bytes_max = 3_000_000")

    said = refusal(lambda: load(environ={"CANVAS_LIMITS_BODY_BYTES_MAX": "2000000"}, directory=tmp_path))

    assert "limits.content_bytes_max is 3000000" in said
    assert (
        "more than limits.body_bytes_max, which is 2000000 (environment variable CANVAS_LIMITS_BODY_BYTES_MAX)" in said
    )


def test_variables_are_read_as_the_type_of_their_setting() -> None:
    environ = {
        "CANVAS_SERVER_PORT": "0",
        "CANVAS_SERVER_DOCS": "false",
        "CANVAS_SERVER_ALLOWED_HOSTS": "a.example, b.example,",
        "CANVAS_CHECKPOINT_INTERVAL_S": "2.5",
        "CANVAS_LOG_LEVEL": "debug",
    }

    settings = load(environ=environ, directory=Path("/nonexistent")).settings

    assert (settings.server.port, settings.server.docs) == (0, False)
    assert settings.server.allowed_hosts == ("a.example", "b.example")
    assert (settings.checkpoint.interval_s, settings.log.level) == (2.5, "debug")


def test_a_variable_of_a_known_section_that_names_no_setting_is_refused() -> None:
    said = refusal(lambda: load(environ={"CANVAS_SERVER_PROT": "1"}, directory=Path("/nonexistent")))

    assert "CANVAS_SERVER_PROT names no setting / did you mean CANVAS_SERVER_PORT?" in said


def test_a_variable_of_another_program_is_left_alone() -> None:
    assert load(environ={"CANVAS_COLOUR": "blue"}, directory=Path("/nonexistent")).settings == Settings()


def test_an_actor_cannot_come_from_a_variable() -> None:
    said = refusal(lambda: load(environ={"CANVAS_ACTORS_ANNA_TOKEN": TOKEN}, directory=Path("/nonexistent")))

    assert 'token = "${CANVAS_ACTORS_ANNA_TOKEN}"' in said
    assert TOKEN not in said


def test_references_in_texts_are_filled_in_and_two_dollars_are_one(load_text: Loader) -> None:
    text = (
        'server = {port = "${PORT}", allowed_hosts = ["${HOST}", "a$b", "$${HOST}"]}\nstorage.data_dir = "$$x/${HOST}"'
    )

    settings = load_text(text, {"PORT": "99", "HOST": "h.example"}).settings

    assert settings.server.port == 99
    assert settings.server.allowed_hosts == ("h.example", "a$b", "${HOST}")
    assert settings.storage.data_dir == "$x/h.example"


def test_a_reference_to_an_unset_variable_is_refused_with_its_name_and_the_setting(
    load_text: Loader,
) -> None:
    said = refusal(lambda: load_text('server.host = "${ABSENT}"'))

    assert "server.host in" in said
    assert "needs the environment variable ABSENT, which is not set" in said


def test_a_broken_reference_is_refused(load_text: Loader) -> None:
    assert "server.host in" in refusal(lambda: load_text('server.host = "${1}"'))


def test_a_value_from_a_variable_is_not_shown_when_it_is_refused(load_text: Loader) -> None:
    said = refusal(lambda: load_text('server.port = "${SECRET}"', {"SECRET": TOKEN}))

    assert "server.port is '${SECRET}', not" in said
    assert TOKEN not in said


def test_an_actor_has_a_kind_and_a_token_from_the_environment(load_text: Loader) -> None:
    loaded = load_text(
        '[actors.anna]\ntoken = "${A}"\n[actors.bot]\ntoken = "${B}"\nkind = "agent"', {"A": TOKEN, "B": OTHER_TOKEN}
    )

    actors = loaded.settings.actors
    assert {name: actor.kind for name, actor in actors.items()} == {"anna": "human", "bot": "agent"}
    assert actors["anna"].token.reveal() == TOKEN
    assert loaded.origins["actors.anna.kind"] == "default"


def test_a_variable_that_the_file_names_may_be_called_anything(load_text: Loader) -> None:
    loaded = load_text('actors.anna.token = "${CANVAS_ACTORS_ANNA}"', {"CANVAS_ACTORS_ANNA": TOKEN})

    assert loaded.settings.actors["anna"].token == Secret(TOKEN)


@pytest.mark.parametrize("value", [f'"{TOKEN}"', '"prefix-${A}"', "1234567890123456", '["${A}"]'])
def test_a_token_written_in_the_file_is_refused_and_not_shown(load_text: Loader, value: str) -> None:
    said = refusal(lambda: load_text(f"actors.anna.token = {value}", {"A": TOKEN}))

    assert "actors.anna.token is written out in" in said
    assert TOKEN not in said


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 513, "with a space in the middle", "ü" * 20, "tab\tab\tab\tab\tab\t"]
)
def test_a_token_that_could_not_be_sent_or_guessed_too_soon_is_refused_and_not_shown(
    load_text: Loader, token: str
) -> None:
    said = refusal(lambda: load_text('actors.anna.token = "${A}"', {"A": token}))

    assert "actors.anna.token ('${A}' in" in said
    assert not token or token not in said


def test_two_actors_with_one_token_are_refused(load_text: Loader) -> None:
    said = refusal(lambda: load_text('actors.a.token = "${A}"\nactors.b.token = "${A}"', {"A": TOKEN}))

    assert "actors.b has the same token as actors.a" in said


@pytest.mark.parametrize("name", ['""', '"a b"', '"../x"', '"é"', f'"{"a" * 65}"'])
def test_a_name_that_is_no_actors_is_refused(load_text: Loader, name: str) -> None:
    assert "cannot name an actor" in refusal(lambda: load_text(f'actors.{name}.token = "${{A}}"', {"A": TOKEN}))


def test_an_actor_without_a_token_is_refused(load_text: Loader) -> None:
    assert "actors.anna has no token" in refusal(lambda: load_text("actors.anna.kind = 'job'"))


def test_a_secret_does_not_show_in_any_rendering(load_text: Loader) -> None:
    settings = load_text('actors.anna.token = "${A}"', {"A": TOKEN}).settings

    for shown in (repr(settings), str(settings.actors["anna"].token), f"{settings}", str(flatten(settings))):
        assert TOKEN not in shown
        assert "***" in shown


@pytest.mark.parametrize("name", SECRET)
def test_a_key_in_the_file_names_a_variable_and_never_shows(load_text: Loader, name: str) -> None:
    loaded = load_text(f'{name} = "${{MY_KEY}}"', {"MY_KEY": TOKEN})

    assert key_of(loaded, name) == TOKEN
    assert loaded.origins[name].endswith("config.toml")
    assert flatten(loaded.settings)[name] == "***"
    assert TOKEN not in repr(loaded)


@pytest.mark.parametrize("name", SECRET)
def test_a_key_may_be_missing_and_then_shows_as_nothing(load_text: Loader, name: str) -> None:
    for loaded in (load_text(""), load_text(f'{name} = "${{ABSENT}}"'), load_text("", {variable_of(name): ""})):
        assert key_of(loaded, name) == ""
        assert flatten(loaded.settings)[name] == ""


@pytest.mark.parametrize("name", SECRET)
@pytest.mark.parametrize("value", [f'"{TOKEN}"', '"sk-${A}"', '"${A}${A}"', "1", '["${A}"]', '""'])
def test_a_key_written_in_the_file_is_refused_and_not_shown(load_text: Loader, name: str, value: str) -> None:
    said = refusal(lambda: load_text(f"{name} = {value}", {"A": TOKEN}))

    assert f"{name} is written out in" in said
    assert f'write {name.partition(".")[2]} = "${{VARIABLE}}"' in said
    assert TOKEN not in said


@pytest.mark.parametrize("name", SECRET)
@pytest.mark.parametrize("key", [f"{TOKEN}\n", f" {TOKEN}", f"ü{TOKEN}", TOKEN * 1000])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(load_text: Loader, name: str, key: str) -> None:
    for said in (
        refusal(lambda: load_text("", {variable_of(name): key})),
        refusal(lambda: load_text(f'{name} = "${{A}}"', {"A": key})),
    ):
        assert f"{name} (" in said
        assert TOKEN not in said


@pytest.mark.parametrize(("name", "variable"), CONVENTIONAL.items())
def test_a_key_that_other_programs_read_is_read_too_when_nothing_else_gives_one(
    load_text: Loader, name: str, variable: str
) -> None:
    alone = load_text("", {variable: OTHER_TOKEN})
    beside_ours = load_text("", {variable: OTHER_TOKEN, variable_of(name): TOKEN})
    beside_the_file = load_text(f'{name} = "${{A}}"', {variable: OTHER_TOKEN, "A": TOKEN})

    assert key_of(alone, name) == OTHER_TOKEN
    assert alone.origins[name] == f"environment variable {variable}"
    assert variable in alone.variables
    assert key_of(beside_ours, name) == key_of(beside_the_file, name) == TOKEN


@pytest.mark.parametrize(
    ("name", "variable"), [(name, variable) for name, variable in CONVENTIONAL.items() if name.endswith("api_key")]
)
def test_a_key_that_other_programs_read_is_not_sent_to_another_address(
    load_text: Loader, name: str, variable: str
) -> None:
    address = name.replace("api_key", "base_url")
    elsewhere = f'{address} = "https://elsewhere.example"\n'
    own = f'{address} = "{keys()[address].default}"\n'

    assert key_of(load_text(elsewhere, {variable: TOKEN}), name) == ""
    assert key_of(load_text(f'{elsewhere}{name} = "${{{variable}}}"', {variable: TOKEN}), name) == TOKEN
    assert key_of(load_text(own, {variable: TOKEN}), name) == TOKEN


def test_an_actor_is_a_writer_unless_it_is_said_to_be_an_admin(load_text: Loader) -> None:
    loaded = load_text(
        '[actors.anna]\ntoken = "${A}"\nrole = "admin"\n[actors.bob]\ntoken = "${B}"',
        {"A": TOKEN, "B": OTHER_TOKEN},
    )

    assert {name: actor.role for name, actor in loaded.settings.actors.items()} == {"anna": "admin", "bob": "writer"}


def test_a_secret_can_be_neither_encoded_nor_pickled_nor_changed() -> None:
    secret = Secret(TOKEN)

    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(AttributeError):
        secret._text = OTHER_TOKEN


def test_secrets_are_equal_when_their_texts_are() -> None:
    assert Secret(TOKEN) == Secret(TOKEN) != Secret(OTHER_TOKEN)
    assert Secret(TOKEN) != TOKEN


def test_every_setting_is_described_and_listed_once() -> None:
    assert all(key.description and key.expected for key in keys().values())
    assert list(keys()) == list(flatten(Settings()))


def test_every_setting_can_be_given_by_its_own_variable() -> None:
    assert len({variable_of(name) for name in keys()}) == len(keys())


def test_the_table_of_settings_has_a_line_for_each() -> None:
    lines = table().splitlines()

    assert [line.split("`")[1] for line in lines[2:]] == [*keys(), *(key.name for key in actor_keys("<name>"))]
    assert "| `openai.api_key` | none | a secret |" in table()
    assert all(line.count(" | ") == 3 for line in lines)


@given(st.sampled_from(PLAIN), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_text_in_a_variable_is_either_in_bounds_or_refused_by_name(name: str, text: str) -> None:
    outcome = value_or_refusal(name, lambda: load(environ={variable_of(name): text}, directory=Path("/nonexistent")))

    assert name in outcome if isinstance(outcome, str) and outcome != text else is_in_bounds(name, outcome)


@given(
    st.sampled_from(PLAIN),
    st.recursive(st.integers() | st.booleans() | st.floats() | st.just("${X}"), st.lists, max_leaves=3),
)
def test_any_value_of_an_option_is_either_in_bounds_or_refused_by_name(name: str, value: object) -> None:
    outcome = value_or_refusal(name, lambda: load(environ={}, flags={name: value}, directory=Path("/nonexistent")))

    assert name in outcome if isinstance(outcome, str) and outcome != value else is_in_bounds(name, outcome)


def value_or_refusal(name: str, load_it: Callable[[], Loaded]) -> object:
    try:
        return flatten(load_it().settings)[name]
    except ConfigError as error:
        return str(error)


@given(st.sampled_from(SECRET), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_text_in_a_variable_is_a_key_or_refused_unseen(name: str, text: str) -> None:
    outcome = value_or_refusal(name, lambda: load(environ={variable_of(name): text}, directory=Path("/nonexistent")))

    assert outcome in ("***", "") or (name in str(outcome) and "(*** in" in str(outcome))


def key_of(loaded: Loaded, name: str) -> str:
    section, _, field = name.partition(".")
    secret: Secret = getattr(getattr(loaded.settings, section), field)
    return secret.reveal()


def is_in_bounds(name: str, value: object) -> bool:
    return bool(msgspec.convert(value, keys()[name].type) == value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('host = "0.0.0.0"', "which others can reach, and mode is local"),
        ('host = "192.0.2.1"', "which others can reach, and mode is local"),
        ('mode = "lan"', "and mode is lan"),
        ('mode = "lan"\nhost = "::"', "and mode is lan"),
        *(
            (f'mode = "lan"\nhost = "{host}"', "and mode is lan")
            for host in (
                *("0", "0.0", "0x0", "00.0.0.0", "0.0.0.0", "::0", "0:0:0:0:0:0:0:0", "::0.0.0.0", "::ffff:0.0.0.0"),
                *("127.1", "2130706433", "::1", "0:0:0:0:0:0:0:1"),
            )
        ),
        ('mode = "lan"\nhost = "192.0.2.1"\nauth = false', "only in mode local"),
        ('mode = "lan"\nhost = "192.0.2.1"\ntls_key = "key.pem"', "go together"),
        ('mode = "proxy"', "allowed_hosts is empty"),
        ('mode = "proxy"\nhost = "192.0.2.1"\nallowed_hosts = ["c.example"]', "and mode is proxy"),
        ('mode = "proxy"\nallowed_hosts = ["c.example"]\nauth = false', "only in mode local"),
        ('mode = "proxy"\nallowed_hosts = ["c.example"]\nproxies = ["nginx"]', "no address and no network"),
    ],
)
def test_a_mode_and_an_address_that_do_not_fit_are_refused(load_text: Loader, settings: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as refused:
        load_text(f"[server]\n{settings}", {})
    assert refused.value.hint


@pytest.mark.parametrize(
    "settings",
    [
        'host = "localhost"\nauth = false',
        'host = "::1"',
        'host = "127.1"',
        'host = "127.0.0.2"',
        'mode = "lan"\nhost = "192.0.2.1"',
        'mode = "proxy"\nallowed_hosts = ["c.example"]\nproxies = ["10.0.0.0/24"]\nunix_socket = "s"',
    ],
)
def test_a_mode_and_an_address_that_fit_are_taken(load_text: Loader, settings: str) -> None:
    load_text(f"[server]\n{settings}", {})


def test_an_admin_token_that_could_be_guessed_is_refused_unseen(load_text: Loader) -> None:
    with pytest.raises(ConfigError, match=r"server\.token") as refused:
        load_text("", {"CANVAS_TOKEN": "hunter2"})
    assert "hunter2" not in str(refused.value) + refused.value.hint
