"""Callers who are known by a secret, for a plugin that is not one of ours: theirs show the rest."""

import hashlib

import pytest
from pydantic import ValidationError

from hookgate import Identity, Secret
from hookgate.workshop import Callers, SecretCaller, Sha256, tell_apart


class TicketCaller(SecretCaller):
    known_by = "ticket"
    ticket: Secret | None = None
    sha256: Sha256 | None = None
    roles: tuple[str, ...] = ()
    application: str | None = None


HASHED = hashlib.sha256(b"two").hexdigest()


def test_a_caller_is_found_by_the_secret_or_by_what_its_hash_was_made_of():
    one = TicketCaller(ticket="one", roles=("reader",), application="shop")
    callers = Callers("ticket", {"Ann": one, "Bob": TicketCaller(sha256=HASHED.upper())})

    assert callers.find("one") == Identity("Ann", "ticket", ("reader",), application="shop")
    assert callers.find("two") == Identity("Bob", "ticket")
    assert callers.find(HASHED) is None
    assert callers.find("\udce4") is None, "what a client sends need not be text"


@pytest.mark.parametrize("written", [{}, {"ticket": "one", "sha256": HASHED}])
def test_a_caller_has_one_of_both(written):
    with pytest.raises(ValidationError, match="write either ticket or sha256"):
        TicketCaller(**written)


def test_a_secret_and_the_hash_of_it_are_the_same_secret():
    with pytest.raises(ValueError, match=r"^tickets: 'Ann' and 'Bob' have the same ticket; give each one of its own$"):
        tell_apart("tickets", {"Ann": TicketCaller(ticket="two"), "Bob": TicketCaller(sha256=HASHED)})
