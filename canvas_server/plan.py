"""What each floor is told: the settings, cut into plain values. No floor reads settings behind its caller's back."""

from __future__ import annotations

from typing import Final
from zoneinfo import ZoneInfo

from canvas_server.config import Settings
from canvas_server.core.limits import Limits
from canvas_server.generation.cost import CostRules, micros_of
from canvas_server.generation.enqueue import Intake
from canvas_server.generation.providers.connections import Patience
from canvas_server.generation.providers.registry import Access, ProviderSettings
from canvas_server.generation.workshop import GenerationSettings
from canvas_server.server import ServerLimits
from canvas_server.state.checkpointer import CheckpointPolicy
from canvas_server.state.settings import StateSettings
from canvas_server.web.admission import AdmissionRules
from canvas_server.web.connection import GuardLimits
from canvas_server.web.gate import KNOWN, Need, Rates
from canvas_server.web.job_bodies import DefaultModel
from canvas_server.web.listen import StreamSettings
from canvas_server.web.peers import NO_PROXIES, Proxies
from canvas_server.web.preview.press import PressLimits
from canvas_server.web.routes import WebSettings

_STAMP_BYTES: Final = 64 * 1024
"""For what the server adds to a copy, generously."""


def dialogue_bytes_max(settings: Settings) -> int:
    """Return how large the file of a dialogue, or of a copy of a canvas, may be."""
    # A copy of a canvas is its text as JSON, which may take six times its bytes, and says when it was saved.
    return max(settings.autosave.dialogue_bytes_max, 6 * settings.limits.canvas_bytes_max) + _STAMP_BYTES


def web_settings(settings: Settings) -> WebSettings:
    """Return what the web floor is told."""
    limits = settings.limits
    return WebSettings(
        stream=StreamSettings(
            refs_max=limits.listen_refs_max,
            max_age_s=settings.stream.max_age_s,
            slow_write_s=limits.slow_write_s,
            retry_ms_min=settings.stream.retry_ms_min,
            retry_ms_max=settings.stream.retry_ms_max,
        ),
        heartbeat_s=settings.stream.heartbeat_s,
        list_limit_max=limits.list_limit_max,
        history_limit_max=limits.history_limit_max,
        presence_ttl_ms_max=limits.presence_ttl_ms_max,
        presence_bytes_max=limits.presence_bytes_max,
        # A prompt in JSON may take six times its own bytes.
        job_bytes_max=6 * settings.generation.prompt_bytes_max + limits.body_bytes_max,
        preset_bytes_max=settings.presets.preset_bytes_max,
        press=PressLimits(
            text_bytes_max=limits.preview_bytes_max,
            cpu_s=limits.preview_cpu_s,
            processes_max=limits.preview_processes_max,
            kept_bytes_max=limits.previews_kept_bytes_max,
        ),
        dialogue_bytes_max=settings.autosave.dialogue_bytes_max,
        default_model=DefaultModel(
            settings.generation.provider, default_models(settings)[settings.generation.provider]
        ),
        unsaved_age_s_max=settings.checkpoint.interval_s * 1.5,
        ephemeral=settings.storage.ephemeral,
        docs=settings.server.docs,
        status_need=Need("admin") if settings.server.auth else KNOWN,
        operators_need=KNOWN if settings.server.mode == "local" else Need("admin"),
        access_log=settings.log.access,
    )


def rates(settings: Settings) -> Rates:
    """Return how much each actor may do; where nobody is told apart, nobody is held to a rate."""
    limits, is_local = settings.limits, settings.server.mode == "local"
    if not settings.server.auth:
        return Rates()
    ops_per_s = limits.ops_per_s or (2_000 if is_local else 50)
    ops_burst = limits.ops_burst or (10_000 if is_local else 500)
    return Rates(ops_per_s, ops_burst, limits.presences_per_s, limits.presences_of_user_per_s)


def proxies(settings: Settings) -> Proxies:
    """Return whom to believe where a request comes from."""
    return Proxies(settings.server.proxies) if settings.server.mode == "proxy" else NO_PROXIES


def admission_rules(settings: Settings) -> AdmissionRules:
    """Return which names the server answers to, and pages of which origins it serves."""
    server = settings.server
    own = (f"[{server.host}]" if ":" in server.host else server.host,) if server.mode == "lan" else ()
    return AdmissionRules((*server.allowed_hosts, *own), server.allowed_origins)


def state_settings(settings: Settings) -> StateSettings:
    """Return what the state floor is told."""
    limits, checkpoint = settings.limits, settings.checkpoint
    return StateSettings(
        limits=Limits(
            content_bytes_max=limits.content_bytes_max,
            ops_max=limits.ops_max,
            body_bytes_max=limits.body_bytes_max,
            canvas_bytes_max=limits.canvas_bytes_max,
            retained_ops_max=limits.retained_ops_max,
            regex_chars_max=limits.regex_chars_max,
            ndjson_line_bytes_max=limits.ndjson_line_bytes_max,
            ndjson_idle_s=limits.ndjson_idle_s,
            snapshot_bytes_max=limits.snapshot_bytes_max,
            meta_keys_max=limits.meta_keys_max,
            meta_chars_max=limits.meta_chars_max,
        ),
        checkpoint=CheckpointPolicy(
            interval_s=checkpoint.interval_s,
            ops=checkpoint.ops,
            retry_max_s=checkpoint.retry_max_s,
            unsaved_ops_max=checkpoint.unsaved_ops_max,
        ),
        durability=settings.storage.durability,
        log_events_min=limits.log_events_min,
        log_bytes_min=limits.log_bytes_min,
        heartbeat_s=settings.stream.heartbeat_s,
        flush_interval_s=settings.stream.flush_interval_ms / 1000,
        close_quiet_s=checkpoint.close_quiet_s,
        idle_unload_s=checkpoint.idle_unload_s,
        listeners_max=limits.listeners_max,
        open_canvases_max=limits.open_canvases_max,
    )


def server_limits(settings: Settings) -> ServerLimits:
    """Return how connections are served."""
    limits = settings.limits
    guard = GuardLimits(
        first_byte_s=limits.first_byte_s,
        headers_s=limits.headers_s,
        body_s=limits.body_s,
        keep_alive_s=limits.keep_alive_s,
        stalled_write_s=limits.slow_write_s + 5.0,
        header_bytes_max=limits.header_bytes_max,
        headers_max=limits.headers_max,
        connections_max=limits.connections_max,
        connections_per_address_max=limits.connections_per_address_max if settings.server.mode == "lan" else 0,
        send_buffer_bytes=limits.send_buffer_bytes,
    )
    return ServerLimits(guard, settings.server.http)


def generation_settings(settings: Settings) -> GenerationSettings:
    """Return how jobs run."""
    told = settings.generation
    return GenerationSettings(
        first_byte_s=told.first_byte_s,
        gap_s=told.gap_s,
        total_s=told.total_s,
        text_bytes_max=told.text_bytes_max,
        retries_max=told.retries_max,
        cancel_s=told.cancel_s,
        pay_again=told.pay_again,
        cache_ttl_s=told.cache_ttl_s if told.cache else 0.0,
        join_s=told.join_ms / 1000,
        running_max=told.running_max,
        running_per_actor_max=told.running_per_actor_max,
        queued_per_actor_max=told.queued_per_actor_max,
        keep_s=told.keep_days * 86_400.0,
    )


def provider_settings(settings: Settings) -> ProviderSettings:
    """Return how providers are reached; the keys leave their masks here."""
    told = settings.generation
    return ProviderSettings(
        openai=Access(
            base_url=settings.openai.base_url, model=settings.openai.model, api_key=settings.openai.api_key.reveal()
        ),
        openai_background=settings.openai.background,
        mistral=Access(
            base_url=settings.mistral.base_url, model=settings.mistral.model, api_key=settings.mistral.api_key.reveal()
        ),
        local=Access(
            base_url=settings.local.base_url, model=settings.local.model, api_key=settings.local.api_key.reveal()
        ),
        demo_delay_ms=settings.demo.delay_ms,
        patience=Patience(connect_s=told.connect_s, silence_s=max(told.first_byte_s, told.gap_s)),
    )


def cost_rules(settings: Settings) -> CostRules:
    """Return what the operator decided about money."""
    return CostRules(
        zone=ZoneInfo(settings.cost.time_zone),
        quota_micros=micros_of(settings.cost.monthly_quota),
        currency=settings.cost.currency,
        warn_percent=settings.cost.warn_percent,
    )


def intake(settings: Settings) -> Intake:
    """Return what a request for a job may leave open."""
    return Intake(
        provider=settings.generation.provider,
        models=default_models(settings),
        max_output_tokens=settings.generation.max_output_tokens,
        prompt_bytes_max=settings.generation.prompt_bytes_max,
    )


def default_models(settings: Settings) -> dict[str, str]:
    """Return the model that is asked of each provider when a request names none."""
    return {
        "openai": settings.openai.model,
        "mistral": settings.mistral.model,
        "local": settings.local.model,
        "demo": "demo",
    }
