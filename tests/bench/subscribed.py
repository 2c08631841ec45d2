"""A store with many tokens and subscriptions in PostgreSQL: what a node keeps of them, and what a call costs that shows
one for the first time.

.venv/bin/python tests/bench/subscribed.py                        # 1,000,000 tokens, 100,000 subscriptions
.venv/bin/python tests/bench/subscribed.py --tokens 10000 --subscriptions 1000
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parents[2]))

from contrib.management.caller import Caller
from contrib.management.served import DOCUMENT, serving
from hookgate.testing import postgresql
from hookgate_keymanager.issuing import ACCESS
from hookgate_people import By, People
from hookgate_storage import Database, Keys, open_store, upgrade
from tests.bench.standing import told

COLD = 5_000
"""Tokens that are shown."""
APIS = 10
"""APIs that each application is subscribed to."""
WARM = 1_000
MORE = """\
keymanager: {}
tiers: {Gold: {limit: 1000000000}}
apis:
  - {name: bare, version: "1", base_path: /bare, flow: [{respond: {body: x}}]}
  - {name: token, version: "1", base_path: /token-only, flow: [oauth, {respond: {body: x}}]}
"""
API = '  - {{name: a{0}, version: "1", base_path: /a{0}, flow: [oauth, subscription, {{respond: {{body: x}}}}]}}\n'

FILLED = (
    """INSERT INTO hookgate_oauth_clients (id, application, owner, key_type, grants, callbacks, made)
    SELECT 'c' || n, 'app' || n, 'ann', 'production', '["client_credentials"]', '[]', :now
    FROM generate_series(0, :applications - 1) n""",
    """INSERT INTO hookgate_applications (id, owner, name, tenant, description, tier, blocked, made, version)
    SELECT 'app' || n, 'ann', 'app' || n, '', '', 'Gold', false, :now, 1
    FROM generate_series(0, :applications - 1) n""",
    """INSERT INTO hookgate_application_clients (client_id, application, key_type, made, mapped)
    SELECT 'c' || n, 'app' || n, 'production', :now, false FROM generate_series(0, :applications - 1) n""",
    """INSERT INTO hookgate_subscriptions (id, application, api, tenant, tier, status, made, version)
    SELECT 's' || n, 'app' || n / :apis, 'a' || n % :apis || ' 1', '', 'Gold', 'ACTIVE', :now, 1
    FROM generate_series(0, :subscriptions - 1) n""",
    """INSERT INTO hookgate_oauth_tokens (hash, client, scope, made, grant_type)
    SELECT sha256(convert_to(:prefix || lpad(n::text, 43, '0'), 'UTF8')), 'c' || n % :applications, 'default', :now,
    'client_credentials' FROM generate_series(0, :tokens - 1) n""",
    "ANALYZE",
)
"""Statements that fill the tables: a thousand times faster than to ask for each token."""


def token_of(number: int) -> str:
    """Return a token that is in the store."""
    return f"{ACCESS}{number:043}"


async def filled(url: str, key: Path, asked: argparse.Namespace) -> None:
    """Put applications, subscriptions and tokens into a store."""
    database = Database(url)
    await upgrade(database)
    await database.close()
    store = await open_store(url, Keys.in_file(key, make=True))
    await People(store).users.make(By("bench"), "ann", "correct horse battery")
    counts = {"now": time.time(), "prefix": ACCESS, "tokens": asked.tokens, "subscriptions": asked.subscriptions}
    counts |= {"apis": APIS, "applications": asked.subscriptions // APIS}
    async with store.database.transaction(writes=True, more=600) as connection:
        for each in FILLED:
            given = {name: value for name, value in counts.items() if f":{name}" in each}
            await connection.execute(text(each), given)
    await store.close()


async def called(public: str, asked: argparse.Namespace, process: psutil.Process) -> None:
    """Call with tokens by chance, each for the first time; then with some of them again and again."""
    chance = random.Random(5)
    shown = [token_of(n) for n in chance.sample(range(asked.tokens), min(COLD, asked.tokens // 2))]
    caller = Caller(public)

    async def took(path: str, token: str) -> float:
        began = time.perf_counter()
        status, body = await caller.call("GET", path, token=token)
        spent = time.perf_counter() - began
        assert status == 200, (status, body)
        return spent

    cold = [await took(f"/a{chance.randrange(APIS)}/1", each) for each in shown]
    sys.stdout.write(f"  cold: {told(cold)}\n")
    path, recent = f"/a{chance.randrange(APIS)}/1", shown[-WARM:]
    for each in recent:
        await took(path, each)
    kinds = {"without both steps": "/bare/1", "warm token": "/token-only/1", "warm token and subscription": path}
    found: dict[str, list[float]] = {what: [] for what in kinds}
    for _ in range(5):
        for each in recent:
            for what, place in kinds.items():  # in turns, for what else the machine does
                found[what].append(await took(place, each))
    for what, times in found.items():
        median = sorted(times)[len(times) // 2]
        sys.stdout.write(f"  {what}: {told(times)}, in us: median {1e6 * median:.1f}\n")
    wrong = [f"{ACCESS}{n:043}x"[-47:] for n in range(1000)]
    for each in wrong:
        status, _ = await caller.call("GET", path, token=each)
        assert status == 401, status
    caller.close()
    sys.stdout.write(f"  memory of the node: {process.memory_info().rss / 2**20:.0f} MiB\n")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, count in (("tokens", 1_000_000), ("subscriptions", 100_000)):
        parser.add_argument(f"--{name}", type=int, default=count)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as named, postgresql() as url:
        folder = Path(named)
        key = folder / "store.key"
        began = time.monotonic()
        asyncio.run(filled(url, key, asked))
        counts = f"{asked.tokens:,} tokens, {asked.subscriptions:,} subscriptions"
        sys.stdout.write(f"{counts}: stored in {time.monotonic() - began:.1f} s\n")
        document = DOCUMENT + MORE + "".join(API.format(number) for number in range(APIS))
        with serving(folder, url, document, ready=False, key=str(key)) as gate:
            process = psutil.Process(gate.process.pid)
            sys.stdout.write(f"  serves with {process.memory_info().rss / 2**20:.0f} MiB\n")
            asyncio.run(called(gate.public, asked, process))


if __name__ == "__main__":
    main()
