"""A plan is believed when the coordinator signed it, and as it was signed."""

from __future__ import annotations

import pytest

from transfers.errors import Tampered
from transfers.signing import Signer, is_public_key, open_signed, public_key_of

SIGNER = Signer("a secret")
KEY = SIGNER.public_key
PLAN = '{"v":1,"job":"5f","destination":"models/ü"}'


def test_what_was_signed_is_opened_with_any_of_the_keys_that_are_known() -> None:
    assert open_signed(SIGNER.sign(PLAN), [Signer("older").public_key, KEY], "it") == PLAN
    assert Signer("a secret").sign(PLAN) == SIGNER.sign(PLAN)


@pytest.mark.parametrize(
    "text",
    [
        SIGNER.sign(PLAN).replace("models", "elsewhere"),
        SIGNER.sign(PLAN) + " ",
        Signer("another").sign(PLAN),
        SIGNER.sign("").rstrip("\n") + "\n" + PLAN,
        "fdist-signed-1 \n" + PLAN,
        "fdist-signed-1 ü\n" + PLAN,
        "fdist-signed-1 " + "A" * 86 + "\n" + PLAN,
    ],
)
def test_what_was_changed_or_signed_by_another_is_refused(text: str) -> None:
    with pytest.raises(Tampered, match="does not carry the signature of the coordinator"):
        open_signed(text, [KEY], "the plan of job 5f")


@pytest.mark.parametrize("text", ["", PLAN, "\n" + PLAN])
def test_what_is_not_signed_is_refused(text: str) -> None:
    with pytest.raises(Tampered, match="the plan of job 5f is not signed"):
        open_signed(text, [KEY], "the plan of job 5f")


def test_a_node_that_knows_no_key_takes_what_it_gets() -> None:
    assert open_signed(SIGNER.sign(PLAN), [], "it") == open_signed(PLAN, [], "it") == PLAN


def test_an_enrolment_key_carries_the_public_key() -> None:
    assert public_key_of(f"fdk_secret.{KEY}") == KEY
    assert public_key_of(KEY) == public_key_of("fdk_secret") == public_key_of(f"fdk_secret.{KEY[:-3]}") == ""
    assert is_public_key(KEY)
    assert not any(is_public_key(wrong) for wrong in ("", KEY + "A", KEY[:-1] + "!", "ü" * 43))
