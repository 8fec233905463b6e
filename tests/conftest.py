"""What all tests share: one Hypothesis profile, so that the quick tier stays quick and a slow machine fails nothing."""

from hypothesis import settings

settings.register_profile("quick", max_examples=100, deadline=None)
settings.load_profile("quick")
