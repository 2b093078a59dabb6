"""Tokens of forms: for one user, one thing and some hours."""

from __future__ import annotations

import pytest
from mlids_airflow.form_token import LIFETIME_S, form_token, is_valid

NOW = 1_800_000_000.0
TOKEN = form_token("secret", "ana", "case", NOW)


def test_a_token_is_valid_for_its_user_and_thing_until_it_expires() -> None:
    assert is_valid(TOKEN, "secret", "ana", "case", NOW) and is_valid(TOKEN, "secret", "ana", "case", NOW + LIFETIME_S - 1)
    assert not is_valid(TOKEN, "secret", "ana", "case", NOW + LIFETIME_S)
    for secret, user, about in (("other", "ana", "case"), ("secret", "eve", "case"), ("secret", "ana", "case2"), ("secret", "anac", "ase")):
        assert not is_valid(TOKEN, secret, user, about, NOW)


@pytest.mark.parametrize(
    "changed", ["", ".", "x.y", TOKEN[:-1], TOKEN + "0", "9" + TOKEN, f"{10**11}.{TOKEN.partition('.')[2]}", "²." + "0" * 64, "1.é"]
)
def test_a_changed_token_is_not_valid(changed: str) -> None:
    assert not is_valid(changed, "secret", "ana", "case", NOW)
