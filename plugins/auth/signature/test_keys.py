import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hookgate_auth_signature.keys import private_key, public_key, secret_key

MAKERS = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "dsa": lambda: dsa.generate_private_key(2048),
}
FITS = {
    "rsa-sha1": "rsa",
    "rsa-sha256": "rsa",
    "rsa-sha384": "rsa",
    "rsa-sha512": "rsa",
    "rsa-pss-sha512": "rsa",
    "rsa-v1_5-sha256": "rsa",
    "ecdsa-sha256": "p256",
    "ecdsa-sha384": "p384",
    "ecdsa-sha512": "p384",
    "ecdsa-p256-sha256": "p256",
    "ecdsa-p384-sha384": "p384",
    "dsa-sha256": "dsa",
    "ed25519": "ed25519",
}


@pytest.fixture(scope="module")
def pairs():
    def pems(key):
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), public.decode()

    return {kind: pems(make()) for kind, make in MAKERS.items()}


@pytest.mark.parametrize(("algorithm", "kind"), FITS.items())
def test_what_the_private_key_signs_the_public_key_verifies(pairs, algorithm, kind):
    private, public = private_key(algorithm, pairs[kind][0]), public_key(algorithm, pairs[kind][1])
    signature = private.sign(b"text")

    assert public.verify(b"text", signature)
    assert private.verify(b"text", signature)
    assert not public.verify(b"texT", signature)
    assert not public.verify(b"text", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not public.verify(b"text", b"")
    assert not public.verify(b"text", bytes(len(signature)))
    assert public.sign is None


@pytest.mark.parametrize("algorithm", ["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"])
def test_a_shared_secret_signs_and_verifies(algorithm):
    key = secret_key(algorithm, "secret")

    assert key.verify(b"text", key.sign(b"text"))
    assert not key.verify(b"texT", key.sign(b"text"))
    assert not secret_key(algorithm, "Secret").verify(b"text", key.sign(b"text"))


def test_a_shared_secret_may_be_bytes():
    raw = base64.b64encode(bytes(range(32))).decode()

    assert secret_key("hmac-sha256", raw, "base64").sign(b"") != secret_key("hmac-sha256", raw).sign(b"")
    with pytest.raises(ValueError, match="not Base64"):
        secret_key("hmac-sha256", "###", "base64")


@pytest.mark.parametrize("algorithm", FITS)
def test_a_key_of_another_kind_is_refused(pairs, algorithm):
    for kind, (private, public) in pairs.items():
        if kind == FITS[algorithm] or (
            kind[0] == "p" and algorithm in ("ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512")
        ):
            continue
        with pytest.raises(ValueError, match=r"kind|curve"):
            private_key(algorithm, private)
        with pytest.raises(ValueError, match=r"kind|curve"):
            public_key(algorithm, public)


def test_a_public_key_is_no_shared_secret(pairs):
    with pytest.raises(ValueError, match="shared secret"):
        public_key("hmac-sha256", pairs["rsa"][1])
    with pytest.raises(ValueError, match="PEM"):
        secret_key("rsa-sha256", pairs["rsa"][1])


def test_a_short_key_is_refused():
    key = rsa.generate_private_key(65537, 1024)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    with pytest.raises(ValueError, match="1024 bits"):
        public_key("rsa-sha256", pem)


def test_an_encrypted_key_needs_its_password():
    key = MAKERS["ed25519"]()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"s3same-as-ours")).decode()

    assert private_key("ed25519", pem, "s3same-as-ours").sign(b"x") == key.sign(b"x")
    for password in (None, "wrong"):
        with pytest.raises(ValueError, match="cannot be read") as refused:
            private_key("ed25519", pem, password)
        assert "s3same-as-ours" not in str(refused.value)


@pytest.mark.parametrize("pem", ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_broken_key_is_refused(pem):
    with pytest.raises(ValueError, match="cannot be read"):
        private_key("rsa-sha256", pem)
    with pytest.raises(ValueError, match="cannot be read"):
        public_key("rsa-sha256", pem)


@pytest.mark.parametrize(("algorithm", "kind"), [("ecdsa-p256-sha256", "p256"), ("ecdsa-p384-sha384", "p384")])
def test_a_plain_ecdsa_signature_has_one_length(pairs, algorithm, kind):
    signature = private_key(algorithm, pairs[kind][0]).sign(b"text")
    half = len(signature) // 2
    verify = public_key(algorithm, pairs[kind][1]).verify

    assert half == {"p256": 32, "p384": 48}[kind]
    assert verify(b"text", signature)
    assert not verify(b"text", signature[:half] + b"\0" + signature[half:])
    assert not verify(b"text", signature + b"\0")
