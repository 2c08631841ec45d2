"""A certificate for the contenders, made at run time by openssl: P-256, self-signed, good for a day."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(folder: Path) -> dict[str, str]:
    """Write certificate, key, and both in one file (as HAProxy wants them); return their paths as values of blanks.

    Raises:
        OSError: there is no openssl.
        subprocess.CalledProcessError: it failed.
    """
    certificate, key, both = folder / "certificate.pem", folder / "key.pem", folder / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    for secret in (key, both):
        secret.chmod(0o600)
    return {"CERTIFICATE": str(certificate), "KEY": str(key), "PEM": str(both)}
