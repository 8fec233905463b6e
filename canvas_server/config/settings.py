"""Every setting there is: its name, type, bounds, default and meaning.

Rule: the description beside a field is what the manual prints, so it says what an operator must know, in one line.
Names end in their unit, a bound comes last. Every number has both bounds, so that no typing error stops a server later.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from canvas_server.config.secret import Secret

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB

Text = Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f]*$")]
TextOrNone = Annotated[str, Meta(max_length=4096, pattern=r"^[^\x00-\x1f]*$")]
Names = tuple[Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[^\s,]+$")], ...]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]
CountOrAll = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Bytes = Annotated[int, Meta(ge=1, le=1024 * _MIB)]
Seconds = Annotated[float, Meta(ge=0.01, le=604_800)]
Milliseconds = Annotated[int, Meta(ge=0, le=86_400_000)]
Address = Annotated[str, Meta(min_length=1, max_length=2048, pattern=r"^https?://[^\s@]+$")]
Money = Annotated[float, Meta(ge=0, le=1_000_000)]

NO_SECRET: Final = Secret("")
"""Of a key that is not set."""


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens and whom it answers."""

    mode: Annotated[
        Literal["local", "lan", "proxy"],
        Meta(description="who can reach it: this machine; others, over TLS; others, through a reverse proxy"),
    ] = "local"
    auth: Annotated[bool, Meta(description="ask for credentials; in mode `local` it may be left out")] = True
    token: Annotated[Secret, Meta(description="an admin's token; without it, that of `CANVAS_TOKEN`")] = NO_SECRET
    host: Annotated[Text, Meta(description="address to listen on; one of this machine alone unless in mode `lan`")] = (
        "127.0.0.1"
    )
    port: Annotated[Port, Meta(description="TCP port; 0 picks a free one")] = 8642
    allowed_hosts: Annotated[Names, Meta(description="names accepted in `Host` besides localhost")] = ()
    allowed_origins: Annotated[Names, Meta(description="origins of web pages that may read and write (CORS)")] = ()
    public_url: Annotated[
        TextOrNone, Meta(description="how people reach it, as `https://name`; else made from host and port")
    ] = ""
    unix_socket: Annotated[
        TextOrNone, Meta(description="in mode `proxy`, a socket to listen on besides, in a folder of its owner alone")
    ] = ""
    proxies: Annotated[Names, Meta(description="in mode `proxy`, the addresses of proxies that are believed")] = (
        "127.0.0.1",
        "::1",
    )
    tls_certificate: Annotated[
        TextOrNone, Meta(description="in mode `lan`, a PEM file; else one is made in `tls` of the data folder")
    ] = ""
    tls_key: Annotated[TextOrNone, Meta(description="the private key of `tls_certificate`, a PEM file")] = ""
    session_days: Annotated[Count, Meta(description="days after which the page asks to sign in again")] = 30
    http: Annotated[Literal["httptools", "h11"], Meta(description="HTTP parser; h11 is slower")] = "httptools"
    docs: Annotated[bool, Meta(description="serve the API description and its page")] = True


class StorageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where canvases are kept and how soon."""

    data_dir: Annotated[Text, Meta(description="folder of the database, relative to where the server starts")] = "data"
    ephemeral: Annotated[bool, Meta(description="keep everything in memory only; a restart forgets it")] = False
    durability: Annotated[
        Literal["checkpoint", "journal"],
        Meta(description="`checkpoint`: on disk soon after the ack; `journal`: on disk before it"),
    ] = "checkpoint"
    history_ops_max: Annotated[CountOrAll, Meta(description="operations of history kept per canvas; 0 keeps all")] = 0


class CheckpointSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a changed canvas is written to disk."""

    interval_s: Annotated[Seconds, Meta(description="longest time from a change to its checkpoint")] = 10.0
    ops: Annotated[Count, Meta(description="operations after which a checkpoint starts at once")] = 50
    close_quiet_s: Annotated[Seconds, Meta(description="quiet time after the last listener left")] = 5.0
    idle_unload_s: Annotated[Seconds, Meta(description="idle time after which a canvas is unloaded")] = 1800.0
    unsaved_ops_max: Annotated[Count, Meta(description="unsaved operations at which a canvas refuses more")] = 10_000
    retry_max_s: Annotated[Seconds, Meta(description="longest wait before a failed checkpoint is tried again")] = 10.0


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much one request, one canvas, one client and all together may take."""

    content_bytes_max: Annotated[Bytes, Meta(description="content of one operation, UTF-8")] = 256 * _KIB
    ops_max: Annotated[Count, Meta(description="operations in one request")] = 100
    body_bytes_max: Annotated[Bytes, Meta(description="body of one request, NDJSON excepted")] = _MIB
    canvas_bytes_max: Annotated[Bytes, Meta(description="text of one canvas, UTF-8")] = 2 * _MIB
    retained_ops_max: Annotated[Count, Meta(description="operations kept in memory for scopes and resuming")] = 10_000
    regex_chars_max: Annotated[Count, Meta(description="pattern of a regex target")] = 512
    ndjson_line_bytes_max: Annotated[Bytes, Meta(description="one NDJSON line")] = 256 * _KIB
    ndjson_idle_s: Annotated[Seconds, Meta(description="silence that ends an NDJSON request")] = 30.0
    log_events_min: Annotated[Count, Meta(description="events each canvas keeps for resuming, at least")] = 1024
    log_bytes_min: Annotated[Bytes, Meta(description="bytes of events each canvas keeps for resuming, at least")] = _MIB
    preview_bytes_max: Annotated[Bytes, Meta(description="text of a canvas that is rendered as a preview")] = 512 * _KIB
    preview_cpu_s: Annotated[Seconds, Meta(description="processor time that rendering one canvas may take")] = 5.0
    preview_processes_max: Annotated[Count, Meta(description="processes that render canvases")] = 2
    previews_kept_bytes_max: Annotated[Bytes, Meta(description="previews kept in memory, of all canvases")] = 16 * _MIB
    snapshot_bytes_max: Annotated[Bytes, Meta(description="larger texts are told by URL only")] = 256 * _KIB
    listen_refs_max: Annotated[Count, Meta(description="canvases on one stream")] = 64
    listeners_max: Annotated[Count, Meta(description="open streams")] = 1024
    listeners_per_user_max: Annotated[CountOrAll, Meta(description="open streams of one user; 0: no bound")] = 64
    strangers_max: Annotated[
        CountOrAll, Meta(description="connections without credentials; the oldest make room; 0: no bound")
    ] = 64
    connections_per_address_max: Annotated[
        CountOrAll, Meta(description="open connections of one address in mode `lan`; 0: no bound")
    ] = 256
    ops_per_s: Annotated[
        CountOrAll, Meta(description="operations a second of one user; 0: 2000 in mode `local`, else 50")
    ] = 0
    ops_burst: Annotated[
        CountOrAll, Meta(description="operations of one user at once; 0: 10000 in mode `local`, else 500")
    ] = 0
    presences_per_s: Annotated[CountOrAll, Meta(description="presences a second of one client; 0: no bound")] = 5
    presences_of_user_per_s: Annotated[
        CountOrAll, Meta(description="presences a second of all clients of a user; 0: no bound")
    ] = 50
    connections_max: Annotated[Count, Meta(description="open connections")] = 2048
    open_canvases_max: Annotated[Count, Meta(description="canvases in memory")] = 1000
    header_bytes_max: Annotated[Bytes, Meta(description="request line and headers together")] = 64 * _KIB
    headers_max: Annotated[Count, Meta(description="headers of one request")] = 100
    first_byte_s: Annotated[Seconds, Meta(description="from connecting to the first byte")] = 5.0
    headers_s: Annotated[Seconds, Meta(description="until all headers are there")] = 10.0
    body_s: Annotated[Seconds, Meta(description="until the whole body is there, NDJSON excepted")] = 30.0
    keep_alive_s: Annotated[Seconds, Meta(description="idle time between two requests of a connection")] = 15.0
    slow_write_s: Annotated[Seconds, Meta(description="time one write to a listener may take")] = 20.0
    send_buffer_bytes: Annotated[Bytes, Meta(description="the kernel's send buffer of each connection")] = 128 * _KIB
    meta_keys_max: Annotated[Count, Meta(description="keys in an operation's `meta`")] = 16
    meta_chars_max: Annotated[Count, Meta(description="characters of a key or value in `meta`")] = 256
    presence_ttl_ms_max: Annotated[Milliseconds, Meta(description="how long one presence may last")] = 60_000
    presence_bytes_max: Annotated[Bytes, Meta(description="body of one presence")] = 2 * _KIB
    list_limit_max: Annotated[Count, Meta(description="canvases on one page of the list")] = 200
    history_limit_max: Annotated[Count, Meta(description="operations on one page of the history")] = 1000


class StreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How events reach listeners."""

    heartbeat_s: Annotated[Seconds, Meta(description="time between two heartbeats")] = 15.0
    max_age_s: Annotated[Seconds, Meta(description="age at which a listener is asked to reconnect, ±10 %")] = 43_200.0
    flush_interval_ms: Annotated[
        Milliseconds, Meta(description="events of a busy canvas are joined this long at most")
    ] = 16
    retry_ms_min: Annotated[Milliseconds, Meta(description="shortest wait before a client reconnects")] = 1000
    retry_ms_max: Annotated[Milliseconds, Meta(description="longest wait before a client reconnects")] = 5000


class GenerationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How models are asked, and how much at once."""

    provider: Annotated[
        Literal["openai", "mistral", "local", "demo"], Meta(description="who is asked when a request names nobody")
    ] = "openai"
    max_output_tokens: Annotated[Count, Meta(description="length of an answer when a request names none")] = 4096
    prompt_bytes_max: Annotated[Bytes, Meta(description="prompt of one job, UTF-8")] = _MIB
    text_bytes_max: Annotated[Bytes, Meta(description="answer of one job, UTF-8; more ends the job")] = 4 * _MIB
    running_max: Annotated[Count, Meta(description="jobs that run at once")] = 32
    running_per_actor_max: Annotated[Count, Meta(description="jobs of one actor that run at once")] = 4
    queued_per_actor_max: Annotated[Count, Meta(description="jobs of one actor that wait")] = 20
    connect_s: Annotated[Seconds, Meta(description="until a provider is connected")] = 5.0
    first_byte_s: Annotated[Seconds, Meta(description="until a provider begins to answer")] = 60.0
    gap_s: Annotated[Seconds, Meta(description="silence of a provider that ends a call")] = 30.0
    total_s: Annotated[Seconds, Meta(description="how long one job may take")] = 900.0
    retries_max: Annotated[CountOrAll, Meta(description="times a call is tried again before any text came")] = 3
    cancel_s: Annotated[Seconds, Meta(description="until a cancelled job has stopped, whatever the provider does")] = (
        10.0
    )
    pay_again: Annotated[
        bool, Meta(description="after a crash an answer may be continued, which pays its input again")
    ] = True
    cache_ttl_s: Annotated[Seconds, Meta(description="how long a whole answer is told again at no cost")] = 3600.0
    cache: Annotated[bool, Meta(description="tell a whole answer again when the same is asked")] = True
    join_ms: Annotated[Milliseconds, Meta(description="text for a canvas is joined this long")] = 50
    keep_days: Annotated[Count, Meta(description="days that ended jobs are kept, with their text")] = 30


class OpenaiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI, by its Responses API."""

    api_key: Annotated[Secret, Meta(description="as `${VARIABLE}`; without it, that of `OPENAI_API_KEY`")] = NO_SECRET
    base_url: Annotated[Address, Meta(description="where it answers; another one needs `api_key` beside it")] = (
        "https://api.openai.com/v1"
    )
    model: Annotated[Text, Meta(description="model when a request names none")] = "gpt-5.2"
    background: Annotated[
        bool, Meta(description="answers survive a crash of this server; the provider stores them for it")
    ] = True


class MistralSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mistral, by its chat API."""

    api_key: Annotated[Secret, Meta(description="as `${VARIABLE}`; without it, that of `MISTRAL_API_KEY`")] = NO_SECRET
    base_url: Annotated[Address, Meta(description="where it answers; another one needs `api_key` beside it")] = (
        "https://api.mistral.ai"
    )
    model: Annotated[Text, Meta(description="model when a request names none")] = "small-creative"


class LocalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server on this machine or network that speaks OpenAI's chat API; it costs nothing."""

    api_key: Annotated[Secret, Meta(description="as `${VARIABLE}`, where the server wants one")] = NO_SECRET
    base_url: Annotated[Address, Meta(description="where it answers; Ollama's address")] = "http://127.0.0.1:11434/v1"
    model: Annotated[Text, Meta(description="model when a request names none")] = "llama3.2"


class DemoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The built-in writer that needs no network and no key."""

    delay_ms: Annotated[Milliseconds, Meta(description="pause before each word")] = 40


class CostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What models may cost."""

    monthly_quota: Annotated[Money, Meta(description="what each user may spend in a month")] = 10.0
    currency: Annotated[Text, Meta(description="of all prices and amounts")] = "EUR"
    warn_percent: Annotated[Count, Meta(description="share of the quota from which calls are warned about")] = 90
    time_zone: Annotated[Text, Meta(description="where months begin, as an IANA name")] = "Europe/Paris"
    pricing_file: Annotated[Text, Meta(description="prices by provider and model, TOML")] = "data/pricing.toml"


class AutosaveSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The copies of canvases and dialogues as files."""

    enabled: Annotated[bool, Meta(description="write them")] = True
    interval_s: Annotated[Seconds, Meta(description="time between two copies of what changed")] = 120.0
    dialogue_bytes_max: Annotated[Bytes, Meta(description="one dialogue, JSON")] = 8 * _MIB


class PresetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Presets and what they refer to."""

    gdd_file: Annotated[Text, Meta(description="the game design document, JSON")] = "data/gdd.json"
    preset_bytes_max: Annotated[Bytes, Meta(description="one preset, JSON")] = 64 * _KIB
    presets_max: Annotated[Count, Meta(description="how many presets there may be")] = 1000


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is told on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least important thing that is told")
    ] = "info"
    format: Annotated[Literal["text", "json"], Meta(description="one line of text or one JSON object each")] = "text"
    access: Annotated[bool, Meta(description="one line per request, without its query")] = False


class TracingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where traces go; they need the extra `otel`."""

    otlp_endpoint: Annotated[
        str,
        Meta(
            max_length=2048,
            pattern=r"^(https?://[^\s@]+)?$",
            description="OTLP/HTTP collector, `http://127.0.0.1:4318`; empty: no traces",
        ),
    ] = ""
    sample_ratio: Annotated[float, Meta(ge=0, le=1, description="share of the traces begun here that are kept")] = 1.0


class ActorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Someone who may come in: the name is the table's, `[actors.<name>]`."""

    token: Annotated[Secret, Meta(description="bearer token, as `${VARIABLE}`, at least 16 characters")]
    kind: Annotated[Literal["human", "agent", "job"], Meta(description="how others see the actor")] = "human"
    role: Annotated[
        Literal["writer", "admin", "agent", "reader"],
        Meta(description="what the actor may do; an admin sees everything and is held to no quota"),
    ] = "writer"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one server, checked."""

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    limits: LimitSettings = LimitSettings()
    stream: StreamSettings = StreamSettings()
    generation: GenerationSettings = GenerationSettings()
    openai: OpenaiSettings = OpenaiSettings()
    mistral: MistralSettings = MistralSettings()
    local: LocalSettings = LocalSettings()
    demo: DemoSettings = DemoSettings()
    cost: CostSettings = CostSettings()
    autosave: AutosaveSettings = AutosaveSettings()
    presets: PresetSettings = PresetSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    actors: dict[str, ActorSettings] = {}
