"""Every installed plugin keeps the contract, on random calls."""

import pytest

from hookgate.catalogue import Catalogue
from hookgate.testing import conformance

OPTIONS = {
    ("auth", "api-key"): {"keys": {"ann": "key-of-ann"}},
    ("auth", "basic"): {"users": {"ann": "secret-of-ann"}},
    ("credential", "api-key"): {"key": "key-of-ann"},
    ("credential", "basic"): {"username": "ann", "password": "secret-of-ann"},
    ("discovery", "dns"): {"name": "backend.invalid", "port": 80},
    ("header", "default"): {"value": "orders"},
    ("header", "env"): {"name": "HOOKGATE_CONFORMANCE"},
    ("interceptor", "auth"): {"methods": [{"basic": {"users": {"ann": "secret-of-ann"}}}]},
    ("interceptor", "body-limit"): {"request": 30, "response": 30},
    ("interceptor", "compress"): {"min_size": 10},
    ("interceptor", "cors"): {"allow_origins": ["https://example.org"]},
    ("interceptor", "headers"): {"request": {"set": {"X-Env": "qly"}}, "response": {"remove": ["Server"]}},
    ("interceptor", "ip-allow"): {"networks": ["10.0.0.0/8", "127.0.0.0/8"]},
    ("interceptor", "rate-limit"): {"limit": 20, "window": 60},
    ("interceptor", "redirect"): {"to": "https://example.org"},
    ("interceptor", "rewrite"): {"strip_prefix": "/a", "add_prefix": "/v2"},
    ("interceptor", "when"): {"if": "request.method == 'GET'", "flow": ["security-headers"]},
    ("source", "file"): {"path": "nowhere/gateway.yaml"},
    ("transport", "unix"): {"path": "/nowhere/backend.sock"},
}
"""What plugins are tried with where they need options, or do little without."""
KNOWN: dict[tuple[str, str], dict[str, str]] = {}
"""Rules that a plugin does not keep yet, each with what is known of it."""


def installed():
    return [pytest.param(line, id=f"{line.family}-{line.name}") for line in Catalogue().listing()]


@pytest.mark.parametrize("line", installed())
def test_an_installed_plugin_keeps_the_contract(line):
    key = (line.family, line.name)
    assert line.plugin is not None, line.reason
    required = [name for name, field in line.plugin.options_type.model_fields.items() if field.is_required()]
    assert key in OPTIONS or not required, f"{key} needs {required}: add them to OPTIONS in this file"

    conformance(line.plugin, options=OPTIONS.get(key), examples=20, except_rules=KNOWN.get(key))
