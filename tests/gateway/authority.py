"""Certificates for tests, made with the command `openssl`."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
CONFIG = """
[req]
distinguished_name = nothing
[nothing]
[ca]
default_ca = here
[here]
database = {folder}/index.txt
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
rand_serial = yes
unique_subject = no
policy = any
copy_extensions = copy
x509_extensions = issued
[issued]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[any]
commonName = optional
organizationName = optional
organizationalUnitName = optional
"""

IS_AUTHORITY = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
"""What Python 3.13 wants to see, which verifies by RFC 5280 to the letter."""

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made with openssl")


class Authority:
    """Makes certificates with the command `openssl`."""

    def __init__(self, folder, name, *, above=None):
        self.folder = folder
        self.certificate = folder / "ca.pem"
        folder.mkdir()
        (folder / "index.txt").touch()
        (folder / "openssl.cnf").write_text(CONFIG.format(folder=folder))
        if above is None:
            own = ["-x509", "-subj", f"/CN={name}", "-days", "2", "-out", self.certificate]
            added = [word for each in (*IS_AUTHORITY, "subjectKeyIdentifier=hash") for word in ("-addext", each)]
            self._run("req", *own, *added, *self._new_key("ca"))
        else:
            for path in above.issue(name, extensions=IS_AUTHORITY).values():
                shutil.copy(path, folder / f"ca{Path(path).suffix}")

    def issue(self, name, *names, subject=None, password=None, expired=False, extensions=()):
        """Return an entry of `certificates`: the paths of a certificate and its key."""
        path = self.folder / f"{name}.pem"
        named = [f"subjectAltName={','.join(names)}"] if names else []
        added = [word for each in (*named, *extensions) for word in ("-addext", each)]
        request = self.folder / f"{name}.csr"
        self._run(
            "req", "-new", "-subj", subject or f"/CN={name}", "-out", request, *added, *self._new_key(name, password)
        )
        until = NOW + (-DAY if expired else DAY)
        times = ["-startdate", f"{NOW - 2 * DAY:%Y%m%d%H%M%SZ}", "-enddate", f"{until:%Y%m%d%H%M%SZ}"]
        self._run("ca", "-batch", "-notext", "-preserveDN", "-in", request, "-out", path, *times)
        return {"certificate": str(path), "key": str(self.folder / f"{name}.key")}

    def _new_key(self, name, password=None):
        secret = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        return [*curve, "-keyout", self.folder / f"{name}.key", *secret]

    def _run(self, command, *arguments):
        config = ["-config", self.folder / "openssl.cnf"]
        done = subprocess.run(["openssl", command, *config, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
