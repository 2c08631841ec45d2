"""What more the key manager keeps, in each kind of database."""

import json
import time

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from sqlalchemy import func, select, update

from hookgate_keymanager.pruning import old_tokens
from hookgate_keymanager.tables import devices, keys, shown, tokens
from hookgate_storage import Keep

from .test_step import another
from .town import prepared

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ISSUER = "https://partner.example"
HERE = "https://login.example"


async def pruned(store):
    async with store.database.transaction(writes=True) as connection:
        for table in (tokens, devices, shown):
            await connection.execute(update(table).values(ends=1.0))
        await connection.execute(update(keys).values(made=1.0))
    async for _ in old_tokens(store, Keep(), dry=False):  # as each node does by itself, which may have been faster
        pass
    async with store.database.transaction() as connection:
        counts = (select(func.count()).select_from(table) for table in (tokens, devices, shown, keys))
        return [(await connection.execute(each)).scalar_one() for each in counts]


def test_keys_devices_and_assertions_are_kept_and_let_go_in_each_kind_of_database(tmp_path, database_url, backend):
    key = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
    trusted = {ISSUER: {"jwks": {"keys": [key.as_dict(private=False)]}}}
    grants = json.dumps([{"device-code": {"interval": 60}}, {"jwt-bearer": {"issuers": trusted}}])
    section = f"access_tokens: jwt, issuer: '{HERE}', signing: {{algorithm: ES256}}, extension_grants: {grants}"
    made = prepared(tmp_path, database_url, backend.url, keymanager=section)
    with another(made) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as made.gate:
        client = made.client(DEVICE, BEARER, callbacks=())
        device = made.ask(client, "/device_authorization", scope="news_read").json()["device_code"]
        polls = [made.ask(client, grant_type=DEVICE, device_code=device).json()["error"] for _ in range(3)]
        assert polls == ["authorization_pending", "slow_down", "slow_down"]

        now = int(time.time())
        said = {"iss": ISSUER, "aud": HERE, "sub": "tom", "exp": now + 300, "jti": "one"}
        text = jwt.encode({"alg": "ES256", "kid": "one"}, said, key)
        told = [made.ask(client, grant_type=BEARER, assertion=text) for _ in range(2)]
        assert [each.status_code for each in told] == [200, 400]
        token = told[0].json()["access_token"]
        published = KeySet.import_key_set(made.gate.request("GET", "/jwks").json())
        assert jwt.decode(token, published, algorithms=["ES256"]).claims["sub"] == "tom"
        assert made.call(token).status_code == 200

        assert made.store(pruned) == [0, 0, 0, 1]  # the newest key signs on
