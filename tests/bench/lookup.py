"""hookgate with 10 to 10,000 routes, to see what finding one costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .contenders import Contender, hookgate

SIZES = (10, 100, 1000, 10_000)


def document(routes: int, values: Mapping[str, object]) -> dict[str, Any]:
    """Make a document with so many routes `/rN/{id}`, all to one backend."""
    return {
        "gateway": {"listen": [f"127.0.0.1:{values['PORT']}"]},
        "management": {"listen": [f"127.0.0.1:{values['MANAGEMENT_PORT']}"]},
        "routes": [
            {
                "name": f"r{number}",
                "match": {"path": f"/r{number}/{{id}}"},
                "to": {"connection": "backend", "path": "/1k", "timeout": 60},
            }
            for number in range(routes)
        ],
        "connections": {"backend": {"targets": f"http://127.0.0.1:{values['UPSTREAM_PORT']}"}},
    }


def contender(routes: int) -> Contender:
    """Describe hookgate with so many routes."""

    def write(folder: Path, values: Mapping[str, object]) -> None:
        (folder / "routes.json").write_text(json.dumps(document(routes, values)), encoding="utf-8")

    return hookgate(f"{routes:,} routes", f"hookgate with {routes:,} routes", "routes.json", write)
