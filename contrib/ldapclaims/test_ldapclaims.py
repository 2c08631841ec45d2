"""Claims of a directory: a real slapd, where Debian's is installed."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from hookgate import ConfigError
from hookgate.testing import running
from hookgate_keymanager import NoClaims, Subject
from hookgate_ldapclaims import Ldap, LdapOptions

SLAPD = shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/libexec")
PASSWORD = "of the gateway"
ENTRIES = f"""\
dn: dc=example
objectClass: domain
dc: example

dn: cn=gateway,dc=example
objectClass: person
cn: gateway
sn: gateway
userPassword: {PASSWORD}

dn: ou=people,dc=example
objectClass: organizationalUnit
ou: people

dn: uid=tom,ou=people,dc=example
objectClass: inetOrgPerson
uid: tom
cn: Tom
sn: Thumb
telephoneNumber: 1
mail: tom@a.example
mail: tom@b.example

dn: ou=far,ou=people,dc=example
objectClass: organizationalUnit
ou: far

dn: uid=ann,ou=far,ou=people,dc=example
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: Far
telephoneNumber: 7

dn: uid=a*(b)\\5Cc,ou=people,dc=example
objectClass: inetOrgPerson
uid: a*(b)\\c
cn: Strange
sn: Name
telephoneNumber: 9
"""
OPTIONS = {
    "base_dn": "ou=people,dc=example",
    "filter": "(&(objectClass=inetOrgPerson)(uid={username}))",
    "bind_dn": "cn=gateway,dc=example",
    "bind_password": PASSWORD,
    "claims": {"phone": "telephonenumber", "mails": "mail"},
    "timeout": "20s",
}


@contextmanager
def passing(path):
    """Let connections over TCP through to a socket of this machine: slapd cannot choose a port by itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def copy(one, other):
            try:
                while data := one.recv(65536):
                    other.sendall(data)
                other.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        def serve(client):
            with client, socket.socket(socket.AF_UNIX) as directory:
                directory.connect(str(path))
                back = threading.Thread(target=copy, args=(directory, client), daemon=True)
                back.start()
                copy(client, directory)
                back.join()

        def accept():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"ldap://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def directory():
    """A directory, and a way to change a phone number in it."""
    if SLAPD is None:
        pytest.skip("there is no slapd on this machine: apt-get install slapd")
    root = Path(SLAPD).parents[2]
    with tempfile.TemporaryDirectory(prefix="ldap") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        schemas = "".join(
            f"include {root}/etc/ldap/schema/{each}.schema\n" for each in ("core", "cosine", "inetorgperson")
        )
        (folder / "slapd.conf").write_text(
            f"{schemas}modulepath {root}/usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nsuffix dc=example\n"
            f"rootdn cn=root,dc=example\nrootpw root\ndirectory {folder}/data\nmaxsize 10485760\n"
            "access to attrs=userPassword by anonymous auth\n"
            'access to * by dn.exact="cn=gateway,dc=example" read by * auth\n'
        )
        (folder / "entries.ldif").write_text(ENTRIES)
        add = [SLAPD, "-T", "add", "-f", str(folder / "slapd.conf"), "-l", str(folder / "entries.ldif")]
        subprocess.run(add, check=True, capture_output=True)
        address = f"ldapi://{str(folder / 'socket').replace('/', '%2F')}"
        command = [SLAPD, "-d", "0", "-f", str(folder / "slapd.conf"), "-h", address]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not answers(folder / "socket"):
                assert process.poll() is None
            with passing(folder / "socket") as url:
                yield url
        finally:
            process.terminate()
            process.wait(60)


def answers(path):
    with socket.socket(socket.AF_UNIX) as found:
        try:
            found.connect(str(path))
        except OSError:
            threading.Event().wait(0.02)
            return False
    return True


@contextmanager
def source(url, **more):
    made = Ldap(LdapOptions.model_validate({**OPTIONS, "url": url, **more}))
    made.startup(None)
    try:
        yield made
    finally:
        made.shutdown()


async def asked(url, name, **more):
    with source(url, **more) as made:
        return await made.claims(Subject(name, "", ""))


def change(url, phone):
    import ldap3

    connection = ldap3.Connection(url, "cn=root,dc=example", "root", auto_bind=True)
    try:
        what = {"telephoneNumber": [(ldap3.MODIFY_REPLACE, [phone])]}
        assert connection.modify("uid=tom,ou=people,dc=example", what)
    finally:
        connection.unbind()


async def test_a_directory_says_what_an_entry_has_now(directory):
    change(directory, "1")
    with source(directory) as made:
        told = await made.claims(Subject("tom", "", ""))
        assert (told["telephonenumber"], sorted(told["mail"])) == ("1", ["tom@a.example", "tom@b.example"])
        change(directory, "2")
        assert (await made.claims(Subject("tom", "", "")))["telephonenumber"] == "2"


async def test_users_are_looked_for_at_any_depth_or_right_below(directory):
    assert (await asked(directory, "ann"))["telephonenumber"] == "7"
    assert await asked(directory, "ann", subtree=False) == {}
    assert (await asked(directory, "tom", subtree=False))["telephonenumber"]


@pytest.mark.parametrize("name", ["*", "tom)(uid=*", "to*", "tom)(|(uid=*)", "\0", "nobody", "tøm", "x" * 200])
async def test_a_name_chooses_nothing_but_its_own_entry(directory, name):
    assert await asked(directory, name) == {}


async def test_a_name_with_special_characters_is_found(directory):
    assert (await asked(directory, "a*(b)\\c"))["telephonenumber"] == "9"


async def test_what_a_directory_does_not_answer_as_it_should_is_no_claim(directory):
    with pytest.raises(NoClaims, match="several entries"):
        await asked(directory, "tom", filter="(|(uid={username})(uid=ann))")
    for more in ({"bind_password": "wrong"}, {"base_dn": "dc=nowhere"}, {"start_tls": True}):
        with pytest.raises(NoClaims, match="does not answer") as refused:
            await asked(directory, "tom", **more)
        assert PASSWORD not in str(refused.value)


async def test_while_the_directory_is_away_there_are_no_claims():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ldap://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(NoClaims):  # it takes connections, and says nothing
            await asked(url, "tom", timeout="100ms")
    with pytest.raises(NoClaims):
        await asked(url, "tom")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"url": "ldap://directory.example"}, "without TLS"),
        ({"url": "https://directory.example"}, "no URL of a directory"),
        ({"url": "ldaps://me:secret@directory.example"}, "no URL of a directory"),
        ({"url": "ldaps://directory.example", "start_tls": True}, "start_tls"),
        ({"url": "ldaps://directory.example", "filter": "uid={username}"}, "parentheses"),
        ({"url": "ldaps://directory.example", "filter": "(uid=tom)"}, "{username}"),
        ({"url": "ldaps://directory.example", "bind_dn": None}, "go together"),
        ({"url": "ldaps://directory.example", "claims": {"scope": "mail"}}, "'scope' is what the gateway says"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_document(options, why):
    given = {name: value for name, value in {**OPTIONS, **options}.items() if value is not None}
    with pytest.raises(ConfigError, match=why), running({"keymanager": {"claims": [{"ldap": given}]}}):
        pass
