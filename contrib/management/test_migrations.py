"""Tables go up and down one revision at a time, of every distribution that has some, with rows in them."""

from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    func,
    insert,
    inspect,
    select,
)

from hookgate_storage import Database, upgrade
from hookgate_storage.upgrading import config, downgrade, known, wanted

PREFIX = "hookgate_"


def a_value(column):
    if isinstance(column.type, Boolean):
        return False
    if isinstance(column.type, BigInteger | Integer | SmallInteger | Float):
        return 1
    return b"x" if isinstance(column.type, LargeBinary) else "x"  # what refers to another table finds it there


async def filled(database):
    """Put a row into each table that has none; return how many rows each had, and how many each has."""

    def run(connection):
        tables = MetaData()
        tables.reflect(connection, only=[t for t in inspect(connection).get_table_names() if t.startswith(PREFIX)])
        before, after = {}, {}
        for table in tables.sorted_tables:
            count = select(func.count()).select_from(table)
            before[table.name] = connection.execute(count).scalar()
            if not before[table.name]:
                connection.execute(insert(table).values({each.name: a_value(each) for each in table.columns}))
            after[table.name] = connection.execute(count).scalar()
        return before, after

    async with database.transaction(writes=True) as connection:
        return await connection.run_sync(run)


async def test_tables_go_up_and_down_from_every_revision_with_rows_in_them(database_url):
    steps = list(ScriptDirectory.from_config(config()).walk_revisions())
    assert {each.revision for each in steps} == known()
    assert {"s0001", "p0001"} <= known()
    database = Database(database_url)
    try:
        held = {}
        for step in reversed(steps):
            await upgrade(database, step.revision)
            before, after = await filled(database)
            assert held.items() <= before.items(), step.revision  # nothing that was there is gone
            held = after
        assert await database.revision() == wanted()
        for step in steps:
            branch = next(iter(step.branch_labels), "")
            await downgrade(database, step.down_revision or f"{branch}@base")
            before, after = await filled(database)
            assert before.items() <= held.items(), step.revision
            held = after
        assert held == {}
        await upgrade(database)
        assert await database.revision() == wanted()
        assert await filled(database)
    finally:
        await database.close()
