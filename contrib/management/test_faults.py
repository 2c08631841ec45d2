"""What can be wrong with a database is named as what it is."""

import sqlite3
import subprocess
import sys
from urllib.parse import urlsplit, urlunsplit

import pytest
from sqlalchemy import event, text

from hookgate_storage import Change, Database, Keys, StoreError, open_store
from hookgate_storage.sealing import new_key
from hookgate_storage.upgrading import upgrade

from .served import DOCUMENT, environment

CRM = {"targets": "http://127.0.0.1:9"}


async def test_a_database_that_is_full_is_named_and_nothing_is_half_written(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    database = Database(url)
    await upgrade(database)
    await database.close()
    store = await open_store(url, Keys.written(new_key()))
    try:
        first = await store.write([Change("connections", "kept", CRM)], "ann")
        async with store.database.transaction() as connection:
            pages = (await connection.execute(text("PRAGMA page_count"))).scalar()
        await store.database.engine.dispose()
        event.listen(store.database.engine.sync_engine, "connect", lambda made, _: bounded(made, pages + 2))
        with pytest.raises(StoreError, match="has no room left"):
            await store.write([Change("connections", f"c{n}", {"x": "y" * 1000}) for n in range(100)], "ann")
        assert (await store.whole()).generation == first
    finally:
        await store.close()


def bounded(connection, pages):
    """Let a database have no more pages: a disk that is full, for SQLite."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA max_page_count={pages}")
    cursor.close()


def command(folder, url, *words, **options):
    ran = subprocess.run(
        [sys.executable, "-m", "hookgate", *words],
        cwd=folder,
        env=environment(url, **options),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_a_store_of_a_newer_version_is_named_and_left_as_it_is(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    (tmp_path / "gateway.yaml").write_text(DOCUMENT)
    assert command(tmp_path, url, "storage", "upgrade", "gateway.yaml")[0] == 0
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'zzz' WHERE version_num = 's0001'")
    connection.close()
    for words in (("serve", "gateway.yaml"), ("storage", "check", "gateway.yaml")):
        code, said = command(tmp_path, url, *words)
        assert code != 0
        assert "is of a newer version" in said, said
        assert "password" not in said


def test_a_wrong_password_is_not_said_of_a_database_that_is_away(tmp_path):
    url = "postgresql://ann:secret-of-ann@127.0.0.1:9/gate"
    (tmp_path / "gateway.yaml").write_text(DOCUMENT)
    (tmp_path / "hookgate-store.key").touch(0o600)
    code, said = command(tmp_path, url, "storage", "upgrade", "gateway.yaml")
    assert code == 3, said
    assert "secret-of-ann" not in said
    assert "does not let us in" not in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "/nowhere"}, "is not there; make the database on the server first"),
        ({"netloc": "nobody:secret-of-nobody@"}, "does not let us in"),
    ],
)
async def test_a_database_or_a_user_that_is_not_there_is_not_taken_for_one_without_tables(postgres_url, change, said):
    with pytest.raises(StoreError, match=said) as caught:
        await open_store(urlunsplit(urlsplit(postgres_url)._replace(**change)), Keys.written(new_key()))
    assert "secret-of-nobody" not in str(caught.value)
    assert "storage upgrade" not in str(caught.value)
