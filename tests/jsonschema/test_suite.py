"""The public JSON-Schema-Test-Suite (MIT licence), required and optional parts, through the validator of `schema`."""

import json
from pathlib import Path

import jsonschema_rs
import orjson
import pytest

from hookgate_interceptor_schema.checking import Check
from hookgate_interceptor_schema.contract import compiled

SUITE = Path(__file__).parent
DRAFTS = {"7": ("draft7", jsonschema_rs.Draft7), "2020-12": ("draft2020-12", jsonschema_rs.Draft202012)}
REFUSED = {
    ("7", "optional/cross-draft.json"): 2,  # a schema of draft 2019-09
    ("2020-12", "optional/cross-draft.json"): 1,
    ("2020-12", "optional/format-assertion.json"): 4,  # schemas whose `$schema` is a document of their own
    ("2020-12", "vocabulary.json"): 5,
}
"""Cases whose schema is refused when it is loaded, because it is of a dialect that is not supported."""


def registry(draft):
    """The documents that schemas of the suite refer to, which the plugin itself would never fetch."""
    name, number = DRAFTS[draft]
    documents = json.loads((SUITE / "remotes.json").read_text(encoding="utf-8"))
    other = tuple(f"{folder}/" for folder, _ in DRAFTS.values() if folder != name)
    pairs = [(f"http://localhost:1234/{key}", value) for key, value in documents.items() if not key.startswith(other)]
    return jsonschema_rs.Registry(pairs, draft=number)


@pytest.mark.parametrize("draft", DRAFTS)
def test_every_case_of_the_suite_comes_out_right(draft):
    cases = json.loads((SUITE / f"{DRAFTS[draft][0]}.json").read_text(encoding="utf-8"))
    known, wrong, refused, count = registry(draft), [], {}, 0
    for file, groups in cases.items():
        for group in groups:
            formats = "optional" in file and "format" in file
            try:
                validator = compiled(group["schema"], draft, formats, known)
            except ValueError:
                refused[draft, file] = refused.get((draft, file), 0) + len(group["tests"])
                continue
            check = Check(lambda validator=validator: validator, "suite")
            for test in group["tests"]:
                count += 1
                data = orjson.loads(orjson.dumps(test["data"])) if "bignum" not in file else test["data"]
                if check.holds(data) != test["valid"]:
                    wrong.append((file, group["description"], test["description"]))

    assert wrong == []
    assert refused == {key: value for key, value in REFUSED.items() if key[0] == draft}
    assert count > 1700
