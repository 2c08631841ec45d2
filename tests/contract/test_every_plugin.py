"""Every installed plugin keeps the contract, on random calls."""

import secrets
from contextlib import ExitStack
from pathlib import Path

import pytest

from hookgate.document import Document
from hookgate.document.catalogue import Catalogue
from hookgate.testing import postgresql, valkey
from hookgate_authoring.conformance import conformance
from hookgate_keymanager import GrantRequest, Subject
from hookgate_keymanager.clients import Client
from hookgate_storage.serving import Served, put
from hookgate_storage.store import EMPTY
from hookgate_storage.variables import FILLED
from hookgate_workflows import TrialCell

from ..clientpair import client_pair  # noqa: TID252 - how tests find each other, wherever they are run from

HELLO = {
    "cells": {"start": {"original_name": "start"}, "end": {"original_name": "end"}},
    "transitions": [["start.ok", "end"]],
}
OPTIONS = {
    ("app", "management"): {"callers": {"ann": {"token": "token-of-ann"}}},
    ("auth", "api-key"): {"keys": {"ann": "key-of-ann"}},
    ("auth", "basic"): {"users": {"ann": "secret-of-ann"}},
    ("auth", "bearer"): {"tokens": {"ann": "token-of-ann"}},
    ("auth", "digest"): {"users": {"ann": "secret-of-ann"}, "qop": ["auth", "auth-int"]},
    ("auth", "hawk"): {"credentials": {"ann": {"key": "secret-of-ann"}}},
    ("auth", "jwt"): {"secret": "secret-of-ann, thirty-two bytes long"},
    ("auth", "oauth1"): {"consumers": {"ann": {"secret": "secret-of-ann"}}},
    ("auth", "oauth2"): {"introspection_endpoint": "https://login.invalid/introspect"},
    ("auth", "signature"): {"keys": {"ann": {"algorithm": "hmac-sha256", "secret": "secret-of-ann"}}},
    ("balancer", "sticky"): {"secret": "a-secret-of-this-test"},
    ("claims", "http"): {"connection": "crm", "path": "/users/{username}", "claims": {"phone": "phone"}},
    ("claims", "ldap"): {
        "url": "ldap://127.0.0.1:9",
        "base_dn": "dc=example",
        "filter": "(uid={username})",
        "claims": {"phone": "telephoneNumber"},
    },
    ("credential", "api-key"): {"key": "key-of-ann"},
    ("credential", "aws-sigv4"): {
        "region": "us-east-1",
        "service": "s3",
        "access_key": "AKIDEXAMPLE",
        "secret_key": "secret-of-ann",
    },
    ("credential", "basic"): {"username": "ann", "password": "secret-of-ann"},
    ("credential", "bearer"): {"token": "token-of-ann"},
    ("credential", "digest"): {"username": "ann", "password": "secret-of-ann"},
    ("credential", "hawk"): {"id": "ann", "key": "secret-of-ann", "hash_payload": True},
    ("credential", "jwt"): {"secret": "secret-of-ann, thirty-two bytes long"},
    ("credential", "mutual-tls"): dict(zip(("certificate_pem", "key_pem"), client_pair(), strict=True)),
    ("credential", "oauth1"): {"consumer_key": "ann", "consumer_secret": "secret-of-ann"},
    ("credential", "oauth2"): {
        "token_endpoint": "https://login.invalid/token",
        "client_id": "ann",
        "client_secret": "secret-of-ann",
    },
    ("credential", "signature"): {"algorithm": "hmac-sha256", "key": "secret-of-ann"},
    ("discovery", "dns"): {"name": "backend.invalid", "port": 80},
    ("discovery", "file"): {"path": "nowhere/targets.yaml"},
    ("grant", "jwt-bearer"): {"issuers": {"https://a.invalid": {"jwks_uri": "https://a.invalid/keys"}}},
    ("header", "default"): {"value": "orders"},
    ("header", "env"): {"name": "HOOKGATE_CONFORMANCE"},
    ("header", "expression"): {"value": "request.method + '-' + request.path"},
    ("interceptor", "auth"): {"methods": [{"basic": {"users": {"ann": "secret-of-ann"}}}]},
    ("interceptor", "body-limit"): {"request": 30, "response": 30},
    ("interceptor", "cache"): {"ttl": 5, "tags": "Surrogate-Key"},
    ("interceptor", "compose"): {"parts": {"me": {"path": "/users/{request.method}"}}, "on_failure": "null"},
    ("interceptor", "compress"): {"min_size": 10},
    ("interceptor", "cors"): {"allow_origins": ["https://example.org"]},
    ("interceptor", "acl"): {"allow": [{"roles": ["clerk"], "when": "request.headers['x-level'] != null"}]},
    ("interceptor", "callout"): {
        "name": "seen",
        "url": "https://other.invalid/{request.method}",
        "preserve_headers": True,
        "preserve_query": True,
    },
    ("interceptor", "destination"): {"to": "request.headers['x-to']", "among": ["crm"], "prefix": "/v2"},
    ("interceptor", "extract"): {
        "facts": {"accept": "request.headers['accept']", "status": "response.status + 1"},
        "body": {"a": "/a/1"},
    },
    ("interceptor", "headers"): {"request": {"set": {"X-Env": "qly"}}, "response": {"remove": ["Server"]}},
    ("interceptor", "ip-filter"): {"block": ["192.0.2.0/24", "10.1.2.3", "2001:db8::1-2001:db8::9"]},
    ("interceptor", "internal-call"): {"name": "user", "path": "/users/{request.method}", "preserve_body": True},
    ("interceptor", "log"): {"message": "{{ request.headers }} {{ response.status + 1 }}", "to_log": True},
    ("interceptor", "mask"): {
        "request": {"headers": ["Cookie"], "query": ["a"], "json": ["a[1]"], "form": ["b"], "text": ["x+"]},
        "response": {"headers": ["Server"], "json": ["a"], "text": ["y+"]},
        "keep_last": 1,
    },
    ("interceptor", "rate-limit"): {"limit": 20, "window": 60},
    ("interceptor", "redirect"): {"to": "https://example.org"},
    ("interceptor", "restrict-access"): {"block": ["prod"]},
    ("interceptor", "rewrite"): {"strip_prefix": "/a", "add_prefix": "/v2"},
    ("interceptor", "spike-arrest"): {"limit": 1, "by": "request.client"},
    ("interceptor", "switch"): {"on": "request.method", "cases": {"GET": {"flow": ["security-headers"]}}},
    ("interceptor", "mock"): {"responses": {"200": {"content": {"application/json": {"example": {"id": 7}}}}}},
    ("interceptor", "schema"): {
        "query": {"additionalProperties": {"maxLength": 3}},
        "request": {"type": "object"},
        "response": {"type": "object"},
        "content_types": ["*/*"],
    },
    ("interceptor", "script"): {"file": "tenant.py"},
    ("interceptor", "throttle"): {
        "api_tier": "Gold",
        "addresses": [{"address": "other", "limit": 3}],
        "conditions": [
            {"name": "agents", "when": "request.headers['user-agent'] != null", "limit": 2, "by": "principal"}
        ],
        "backend": {"limit": 30},
    },
    ("interceptor", "when"): {"if": "request.method == 'GET'", "flow": ["security-headers"]},
    ("key-manager", "external"): {"method": {"bearer": {"tokens": {"ann": "token-of-ann"}}}},
    ("key-manager", "jwt"): {"issuer": "https://a.invalid", "audience": ["b"], "jwks_uri": "https://a.invalid/keys"},
    ("interceptor", "bulk"): {"workflow": "hello"},
    ("interceptor", "workflow"): {"workflow": "hello"},
    ("node", "async_json_call"): {"url": "https://a.invalid/"},
    ("node", "boolean_expression"): {"expression": "request.a > 1"},
    ("node", "cancel_manual_action"): {"action": "a"},
    ("node", "check_ott"): {"token": "{{ request.a }}", "output_context_key": "a"},
    ("node", "cleanup_cache"): {"cache_key": "{{ request.a }}"},
    ("node", "context_setter"): {"key": "a", "value": {"b": "{{ request.a }}"}},
    ("node", "context_timer"): {"context_key": "missing"},
    ("node", "create_csv"): {"filename": "a.csv", "inputs": "{{ request.rows }}"},
    ("node", "generate_ott"): {"output_context_key": "a"},
    ("node", "generate_random_string"): {"output_context_key": "a"},
    ("node", "goto"): {"target": "a"},
    ("node", "http_call"): {"url": "https://a.invalid/{{ request.a }}", "output_context_key": "a"},
    ("node", "json_call"): {"url": "https://a.invalid/{{ request.a }}"},
    ("node", "macro"): {"workflow": "a"},
    ("node", "proxy_call"): {"proxy": "p1"},
    ("node", "proxy_session_call"): {"proxy": "p1", "url": "/users/{{ request.a }}"},
    ("node", "multi_context_setter"): {"entries": {"a": "{{ request.a }}", "b": 2}},
    ("node", "rest_call"): {"url": "https://a.invalid/{{ request.a }}"},
    ("node", "search_transactions"): {"output_context_key": "a", "where": {"label": "{{ request.a }}"}},
    ("node", "send_email"): {
        "server": {"host": "127.0.0.1", "port": 1, "timeout": "1 s"},
        "sender": "a@example.com",
        "to": "{{ request.a }}",
        "subject": "a",
        "text": "a",
    },
    ("node", "send_email_template"): {
        "server": {"host": "127.0.0.1", "port": 1, "timeout": "1 s"},
        "sender": "a@example.com",
        "to": "a@example.com",
        "templates": {"de": {"subject": "a", "text": "a"}},
        "template": "{{ request.a }}",
        "default": "de",
    },
    ("node", "send_sms"): {"connection": "a", "to": "{{ request.a }}", "text": "a"},
    ("node", "set_request_status"): {"status": "{{ request.a }}"},
    ("node", "set_task_status"): {"target_id": "a", "status": "OK"},
    ("node", "stop_timer"): {"target_id": "a"},
    ("node", "switch"): {"expressions": {"many": "request.a > 1"}},
    ("node", "tcp_call"): {"host": "127.0.0.1", "port": 1, "message": "{{ request.a }}"},
    ("node", "timer"): {"timeout": "10 ms"},
    ("node", "trigger_manual_action"): {"title": "a"},
    ("node", "user_approval"): {"title": "a"},
    ("node", "trigger_subworkflows"): {"workflow": "a", "items": "{{ request.rows }}"},
    ("node", "xml_call"): {"url": "https://a.invalid/", "body": {"a": "{{ request.a }}"}},
    ("observer", "trace"): {"path": "nowhere/traces.db"},
    ("observer", "usage"): {"url": "sqlite:///usage.db"},
    ("secret", "vault"): {"address": "http://127.0.0.1:8200", "token": "token-of-ann"},
    ("section", "api_templates"): {"name": "managed", "flow": ["lifecycle", "security-headers"]},
    ("section", "apis"): {
        "name": "orders",
        "version": "1.0",
        "base_path": "/orders",
        "flow": ["security-headers"],
        "resources": [
            {"path": "/{id}", "operations": {"get": {"flow": [{"respond": {"body": "one"}}]}, "PUT": None}},
            {"inherit": False, "request": ["request-id"], "operations": {"POST": {"response": ["security-headers"]}}},
        ],
        "to": {"connection": "crm"},
    },
    ("section", "applications"): {"client_ids": ["ann"], "plans": {"orders": "gold"}},
    ("section", "connections"): {"targets": "http://127.0.0.1:9"},
    ("section", "community"): {"document_visibility_levels": True, "documents": 9},
    ("section", "plugins"): {"respond": {"body": "hello"}},
    ("section", "profiles"): {"inbound": {"basic": {"users": {"ann": "secret-of-ann"}}}},
    ("section", "registration"): {"profile": {"basic": {"users": {"joe": "secret-of-joe"}}}},
    ("section", "rewrites"): {"name": "old", "pattern": "^/old$", "substitution": "/new"},
    ("section", "blocks"): {"user": "ann"},
    ("section", "redirects"): {"source": "/a", "target": "/b"},
    ("section", "routes"): {
        "name": "orders",
        "match": {"path": "/orders/{id}"},
        "flow": [{"respond": {"body": "hello"}}],
    },
    ("section", "gateway"): {"flow": ["request-id"], "observers": ["access-log"]},
    ("section", "management"): {"apps": ["health"]},
    ("section", "lifecycles"): {"state": "PUBLISHED"},
    ("section", "offers"): {"tiers": ["Gold"], "approval": True},
    ("section", "prices"): {"currency": "EUR", "per_month": "4.50", "included": 10, "per_call": "0.01"},
    ("section", "plans"): {"flow": ["security-headers"]},
    ("section", "storage"): {"served": "nothing-yet"},
    ("section", "subscriptions"): {"key": "key-of-ann", "quota": 9},
    ("section", "custom_routes"): {"route": "/demo", "method": "get", "workflow": "hello", "public": True},
    ("section", "workflows"): HELLO,
    ("section", "bulk_actions"): {"workflow": "hello"},
    ("section", "proxies"): {"connection": "crm", "check": {"path": "/users/me"}},
    ("section", "webhooks"): {"url": ".*", "connection": "crm"},
    ("section", "schedules"): {"workflow": "hello", "cron": "0 4 * * *"},
    ("section", "tiers"): {"limit": 5, "window": "minute"},
    ("section", "variables"): {"value": 9},
    ("section", "visibilities"): {"level": "roles", "roles": ["staff"]},
    ("source", "file"): {"path": "nowhere/gateway.yaml"},
    ("source", "remote-store"): {"url": "https://127.0.0.1:9", "token": "a token"},
    ("transport", "unix"): {"path": "/nowhere/backend.sock"},
}
"""What plugins are tried with where they need options, or do little without."""
SUBSCRIPTIONS = {"subscriptions": {"ann": {"key": "key-of-ann", "quota": 9}}}
BESIDE = {
    ("auth", "application-key"): {"subscribing": {}},
    ("interceptor", "subscription"): {"subscribing": {}},
    ("app", "subscriptions"): SUBSCRIPTIONS,
    ("interceptor", "subscriber"): SUBSCRIPTIONS,
    ("interceptor", "throttle"): {"tiers": {"Gold": {"limit": 20}}, "blocks": {"bob": {"user": "bob"}}},
    ("section", "apis"): {"connections": {"crm": {"targets": "http://127.0.0.1:9"}}},
    ("section", "applications"): {
        "apis": [{"name": "orders", "flow": [{"respond": {}}]}],
        "plans": {"gold": {}},
    },
    ("interceptor", "access-token"): {"keymanager": {}},
    ("interceptor", "oauth"): {"keymanager": {}},
    ("interceptor", "workflow"): {"workflows": {"hello": HELLO}, "storage": {"served": FILLED}},
    ("section", "custom_routes"): {"workflows": {"hello": HELLO}, "storage": {"served": FILLED}},
    ("section", "schedules"): {"workflows": {"hello": HELLO}, "storage": {"served": FILLED}},
    ("section", "proxies"): {"connections": {"crm": {"targets": "http://127.0.0.1:9"}}, "keymanager": {}},
    ("section", "webhooks"): {"connections": {"crm": {"targets": "http://127.0.0.1:9"}}},
    ("section", "bulk_actions"): {"workflows": {"hello": HELLO}, "storage": {"served": FILLED}},
    ("interceptor", "approval"): {"storage": {"served": FILLED}},
    ("interceptor", "bulk"): {"workflows": {"hello": HELLO}, "storage": {"served": FILLED}},
    ("section", "workflows"): {"storage": {"served": FILLED}},
    ("section", "lifecycles"): {"apis": [{"name": "conformance", "flow": [{"respond": {}}]}]},
    ("section", "offers"): {"apis": [{"name": "conformance", "flow": [{"respond": {}}]}]},
    ("section", "visibilities"): {"apis": [{"name": "conformance", "flow": [{"respond": {}}]}]},
    ("section", "prices"): {"tiers": {"conformance": {"limit": 5}}},
    ("section", "variables"): {"storage": {"served": FILLED}},
}
"""What else the document says that a section is tried in."""
IN_A_DATABASE = {("counters", "postgresql"), ("counters", "redis"), ("state", "postgresql")}
"""Plugins that are tried with a real database."""
OF_KEY_MANAGERS = {
    "create_client": [("shop", "ann", "production", ("password",), ()), ("", "", "", ("x",), ("y",))],
    "renew_secret": [("a-client",), ("",)],
    "update_client": [("a-client", {"owner": "joe"}), ("", {"x": None})],
}
A_CLIENT = Client("a-client", None, "shop", "ann", "production", (), (), None, 0.0)
OF_GRANTS = {
    "grant": [
        (GrantRequest({"device_code": "x", "assertion": "a.e30.b"}, A_CLIENT, "127.0.0.1"),),
        (GrantRequest({}, A_CLIENT, ""),),
    ]
}
OF_SOURCES = {"claims": [(Subject("ann", "a-client", "shop"),), (Subject("a/../b ü", "", ""),)]}
OF_NODES = {
    "run": [(TrialCell(request={"a": 2, "rows": [["x"]]}),), (TrialCell(request={"a": "ü"}, is_resumed=True),)],
}
ARGUMENTS = {
    **{(line.family, line.name): OF_NODES for line in Catalogue().listing() if line.family == "node"},
    ("executor", "local"): {"ready": [(1,), (0,)]},
    ("executor", "procrastinate"): {"ready": [(1,), (0,)]},
    ("grant", "device-code"): OF_GRANTS,
    ("grant", "jwt-bearer"): OF_GRANTS,
    ("claims", "ldap"): OF_SOURCES,
    ("claims", "http"): OF_SOURCES,
    ("key-manager", "built-in"): OF_KEY_MANAGERS,
    ("key-manager", "external"): OF_KEY_MANAGERS,
    ("key-manager", "jwt"): OF_KEY_MANAGERS,
}
"""What hooks of families that are not of core are called with."""
KNOWN: dict[tuple[str, str], dict[str, str]] = {
    ("interceptor", "throttle"): {"isolation": "what an API or an application may do counts wherever it stands"},
    ("section", "connections"): {"schema": "`targets` is left out where discovery finds them, and never empty"},
}
"""Rules that a plugin does not keep yet, each with what is known of it."""


def installed():
    return [pytest.param(line, id=f"{line.family}-{line.name}") for line in Catalogue().listing()]


@pytest.mark.parametrize("line", installed())
def test_an_installed_plugin_keeps_the_contract(line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # stores of state keep it here
    monkeypatch.setenv("HOOKGATE_SCRIPTS", str(Path(__file__).parents[2] / "docs/examples/scripts"))
    put("nothing-yet", Served(None, "node", EMPTY, (), (), Document({}, "store")))  # what the source reads first
    key = (line.family, line.name)
    assert line.plugin is not None, line.reason
    required = [name for name, field in line.plugin.options_type.model_fields.items() if field.is_required()]
    options = OPTIONS.get(key)
    assert key in {*OPTIONS, *IN_A_DATABASE} or not required, (
        f"{key} needs {required}: add them to OPTIONS in this file"
    )

    with ExitStack() as stack:
        if key == ("counters", "redis"):
            options = {"url": valkey(), "prefix": secrets.token_hex(8), "patience": 10}
        elif key in IN_A_DATABASE:
            options = {"url": stack.enter_context(postgresql())}
            options |= {"patience": 10} if line.family == "counters" else {}
        beside, arguments = BESIDE.get(key), ARGUMENTS.get(key)
        more = {"item": "p1"} if key == ("section", "proxies") else {}  # one that stands in its URL
        more |= {"except_rules": KNOWN.get(key), "arguments": arguments}
        conformance(line.plugin, options=options, examples=20, document=beside, **more)
