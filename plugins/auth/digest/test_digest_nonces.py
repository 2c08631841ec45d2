"""Nonces, counts, and the grammar of parameters."""

import pytest

from hookgate_auth_digest.nonces import Nonces
from hookgate_auth_digest.parameters import MAX_LENGTH, challenges_in, credentials_in


@pytest.mark.parametrize(
    "spoil",
    [
        lambda nonce: nonce[:-4] + ("AAA=" if nonce[-4:] != "AAA=" else "BBB="),
        lambda nonce: nonce[:12] + ("A" if nonce[12] != "A" else "B") + nonce[13:],
        lambda nonce: nonce[:6] + ("A" if nonce[6] != "A" else "B") + nonce[7:],
        lambda nonce: "",
        lambda nonce: "é",
        lambda nonce: nonce + "AAAA",
        lambda nonce: nonce.rstrip("="),
        lambda nonce: Nonces(b"another key", 300, 10).make(1_700_000_000),
    ],
)
def test_a_nonce_that_is_not_ours_is_stale(spoil):
    nonces = Nonces(b"key", 300, 10)
    nonce = nonces.make(1_700_000_000)

    assert nonces.use(nonce, 1, 1_700_000_000) == "fresh"
    assert nonces.use(spoil(nonce), 2, 1_700_000_000) == "stale"


def test_a_nonce_has_one_spelling():
    """Base64 has several for the same bytes, and each would have counts of its own."""
    nonces = Nonces(b"key", 300, 10)
    nonce = nonces.make(1_700_000_000)
    spellings = [nonce + "\n", " " + nonce, nonce[:8] + "!" + nonce[8:], nonce + "="]

    assert [nonces.use(each, 1, 1_700_000_000) for each in (nonce, *spellings)] == ["fresh"] + ["stale"] * 4


def test_a_nonce_is_good_for_its_lifetime_and_not_before_its_time():
    nonces = Nonces(b"key", 300, 10)
    nonce, early = nonces.make(1000), nonces.make(1000 + 3600)

    assert nonces.use(nonce, 1, 1300) == "fresh"
    assert nonces.use(nonce, 2, 1300.1) == "stale"
    assert nonces.use(early, 1, 1000) == "stale"


def test_counts_far_below_the_highest_are_stale_and_far_above_are_fresh():
    nonces = Nonces(b"key", 300, 10)
    nonce = nonces.make(1000)
    found = [nonces.use(nonce, count, 1000) for count in (1, 0xFFFFFFFF, 0xFFFFFFFF - 63, 0xFFFFFFFF - 64, 1)]

    assert found == ["fresh", "fresh", "fresh", "stale", "stale"]


def test_memory_is_bounded_and_what_was_forgotten_is_let_in_no_more():
    nonces = Nonces(b"key", 300, 3)
    many = [nonces.make(1000 + number) for number in range(10)]
    assert [nonces.use(nonce, 1, 1010) for nonce in many] == ["fresh"] * 10
    assert len(nonces._used) == 3
    assert [nonces.use(nonce, 1, 1010) for nonce in many] == ["stale"] * 7 + ["replayed"] * 3
    assert [nonces.use(nonce, 2, 1010) for nonce in many[7:]] == ["fresh"] * 3
    assert nonces.use(nonces.make(1011), 1, 1400) == "stale"
    assert nonces.use(nonces.make(1400), 1, 1400) == "fresh"
    assert len(nonces._used) == 1  # the expired ones are gone


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('Digest realm="a, Digest b=c", nonce="x"', [{"realm": "a, Digest b=c", "nonce": "x"}]),
        ('Basic realm="a", Digest realm=b ,nonce = "x\\"y" , , Bearer', [{"realm": "b", "nonce": 'x"y'}]),
        ("Negotiate YWJj==, Digest realm=a", [{"realm": "a"}]),
        ("NTLM, digest Realm=a", [{"realm": "a"}]),
        ("Digest realm=a, Digest realm=b", [{"realm": "a"}, {"realm": "b"}]),
        ('Digest realm="a', []),
        ("Digest realm=a, realm=b", []),
        ("realm=a", []),
        ("", []),
        ("Digest", [{}]),
        (f'Digest realm="{"x" * MAX_LENGTH}"', []),
        ("Digest " + '"\\' * 4000, []),
    ],
)
def test_challenges_are_found_among_others(line, found):
    assert list(challenges_in([line])) == found


def test_credentials_are_one():
    with pytest.raises(ValueError, match="several"):
        credentials_in("Digest a=b, Digest c=d")
