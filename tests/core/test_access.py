"""The rights to one canvas: how far each user may go, and in whose list it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.access import NOBODYS, Access, Level
from canvas_server.core.identity import is_token_id, is_user_name

NAMES = st.sampled_from(["ann", "bob", "carl", "local", "a.b", "0", "A"])
ACCESSES = st.builds(
    Access,
    owner=st.none() | NAMES,
    link=st.sampled_from(["none", "read", "write"]),
    shared=st.dictionaries(NAMES, st.sampled_from(["read", "write"])),
)
LEVELS: tuple[Level, ...] = ("read", "write", "own")


@given(ACCESSES, NAMES)
def test_whoever_may_do_more_may_do_less_and_exactly_up_to_the_level(access: Access, user: str) -> None:
    level = access.level_of(user)
    allowed = [access.allows(user, one) for one in LEVELS]
    assert allowed == sorted(allowed, reverse=True)
    assert sum(allowed) == (0 if level is None else LEVELS.index(level) + 1)


@given(ACCESSES, NAMES)
def test_only_the_owner_owns_and_the_best_of_link_and_share_counts_for_others(access: Access, user: str) -> None:
    assert access.allows(user, "own") == (user == access.owner)
    if user != access.owner:
        may_write = access.link == "write" or access.shared.get(user) == "write"
        may_read = may_write or access.link == "read" or user in access.shared
        assert (access.allows(user, "write"), access.allows(user, "read")) == (may_write, may_read)


@given(ACCESSES, NAMES)
def test_what_stands_in_a_list_may_be_read_and_a_link_lists_for_nobody(access: Access, user: str) -> None:
    assert not access.lists_for(user) or access.allows(user, "read")
    assert access.lists_for(user) == Access(owner=access.owner, shared=access.shared).lists_for(user)


@given(NAMES)
def test_what_nobody_owns_is_nobodys(user: str) -> None:
    assert NOBODYS.level_of(user) is None
    assert not NOBODYS.lists_for(user)


@pytest.mark.parametrize("name", ["", "ann\n", "\nann", ".ann", "-", "a b", "a/b", "é", "a" * 65, "a\0", "٣"])
def test_a_name_with_odd_characters_names_no_user(name: str) -> None:
    assert not is_user_name(name)


@pytest.mark.parametrize("text", ["", "0" * 15, "0" * 17, "0" * 16 + "\n", "٣" * 16, "G" * 16, "A" * 16])
def test_what_is_not_16_hex_digits_names_no_token(text: str) -> None:
    assert not is_token_id(text)
