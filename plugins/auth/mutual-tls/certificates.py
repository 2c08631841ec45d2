"""Certificates for the tests of this plugin, made as they are needed."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """Issues certificates, with an authority above it or by itself."""

    def __init__(self, name, above=None):
        self.name, self.key = name, ec.generate_private_key(ec.SECP256R1())
        above = above or self
        self.above = above
        self.certificate = self._signed(above, name, self.key.public_key(), 100 * DAY, authority=True)

    def issue(self, name, *, key=None, lasts=90 * DAY, since=DAY, alternative=()):
        """Return a key and its certificate."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        return key, self._signed(self, name, key.public_key(), lasts, since=since, alternative=alternative)

    def _signed(self, above, name, public, lasts, *, since=DAY, authority=False, alternative=()):
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, above.name)]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - since)
            .not_valid_after(now + lasts)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.key.public_key()), critical=False)
        )
        if authority:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        if alternative:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        return builder.sign(above.key, hashes.SHA256())


def pem(*certificates):
    """Write certificates one after the other."""
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


def key_pem(key, password=None):
    """Write a key, encrypted if there is a password."""
    locked = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked).decode()
