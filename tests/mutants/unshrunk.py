"""A plugin of pytest: Hypothesis stops at the first example that fails. To look for a smaller one takes minutes."""

from __future__ import annotations

from typing import Final

from hypothesis import Phase, settings

_PROFILE: Final = "unshrunk"


def pytest_configure() -> None:
    """Change what was the default until now, before the tests are imported."""
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    settings.register_profile(_PROFILE, settings(), phases=phases, report_multiple_bugs=False)
    settings.load_profile(_PROFILE)
