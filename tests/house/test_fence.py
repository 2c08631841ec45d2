"""Nothing that opens a file or runs code can be reached through an option of a stored object that is not refused.

Three nets, each for what slips through the others: options are found by type, by name, and by what a module calls.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hookgate import Options
from hookgate.document import NEVER_PLACED, Catalogue
from hookgate.document.building import Builder
from hookgate_storage import Allowed
from hookgate_storage.fencing import StoreFence

CATALOGUE = Catalogue()
ROOT = Path(__file__).parents[2]
NO_FILES = {
    **dict.fromkeys(
        [
            ("ApiSection", "base_path"),
            ("ConnectionSection", "base_path"),
            ("DestinationOptions", "path"),
            ("DestinationSection", "path"),
            ("DestinationSection", "path_params"),
            ("HttpClaimsOptions", "path"),
            ("HttpOptions", "path"),
            ("InternalCallOptions", "path"),
            ("IssuerRecord", "jwks_path"),
            ("KeyManagementSection", "path"),
            ("LocalJwtOptions", "jwks_path"),
            ("Match", "path"),
            ("MatchSection", "path"),
            ("Part", "path"),
            ("RegistrationSection", "path"),
            ("ResourceSection", "path"),
            ("RewriteOptions", "path"),
            ("SchemaOptions", "path"),
            ("ScopeDestination", "keep_base_path"),
            ("ScopeDestination", "path"),
            ("SessionCheckSection", "path"),
            ("StickyOptions", "path"),
            ("WebhookSection", "path"),
            ("XssGuardOptions", "path"),
        ],
        "of a URL",
    ),
    ("CustomRouteSection", "output_schema"): "what a route gives",
    ("RunBulkOptions", "output_schema"): "what a route gives",
    ("MutualTlsCredentialOptions", "certificate_pem"): "the text itself",
    ("RunWorkflowOptions", "output_schema"): "what a route gives",
    ("ScriptOptions", "file"): "the plugin needs code",
}
"""Options that are called like a file and are none, or that another word refuses."""
OPENS = {
    "hookgate.client.pool": "`path` of `unix`",
    "hookgate.document.sitefolder": "HOOKGATE_PLUGINS_DIR",
    "hookgate.gateway.listenertls": "`tls` of `gateway`",
    "hookgate.http.tls": "`ca_file` of `tls` of a connection",
    "hookgate.workshop.contracts": "`file` of `schema` and `mock`",
    "hookgate.workshop.watching": "`path` of `file`, of the source and of discovery",
    "hookgate_auth_mutual_tls.outbound": "`certificate` and `key`",
    "hookgate_interceptor_message_log.file": "`output`",
    "hookgate_interceptor_script.__init__": "the plugin needs code",
    "hookgate_interceptor_script.source": "the plugin needs code",
    "hookgate_ldapclaims.source": "no file: a connection",
    "hookgate_management.far": "the source of the document, which stands in none",
    "hookgate_observer_access_log.writer": "`output`",
    "hookgate_observer_prometheus.process": "fixed paths",
    "hookgate_secret_file.__init__": "secret providers are not stored, nor are references to them",
    "hookgate_state_sqlite.file": "`path`",
    "hookgate_workflows.__init__": "modules of its own",
    "hookgate_workflows.rendering": "a program of its own, which is fixed",
    "hookgate_trace.file": "`path` of the store of traces",
}
"""Modules that open files or run code while a gateway serves, and what decides which."""
LATER = re.compile(
    r"hookgate\.(__main__|server\.__init__|commands\..*|testing\..*)|hookgate_(storage|authoring|simulation)\..*"
    r"|hookgate_\w+\.commands?|hookgate_openapi\.description|hookgate_management\.(promotion|draft_commands)"
    r"|hookgate_registration\.program"
)
"""What a person types, and the store itself: no document decides what these open."""
LIKE_A_FILE = re.compile(r"(^|_)(files?|path|folder|dir|directory|certificate|socket|output|root)(_|$)")
CALLS = re.compile(
    r"(^|\.)(open|read_text|read_bytes|write_text|write_bytes|FileIO|exec|import_module|__import__|run_path"
    r"|load_cert_chain|load_verify_locations|(create|open|start)_unix_\w+|Popen|create_subprocess_\w+|fdopen|system)$"
    r"|^sqlite3\.connect$|^eval$"
)
NO_CALLS = re.compile(r"(keys|_sealing|_keys(\((people|store)?\))?|gateway|followers)\.open$")
IN_FORMS: tuple[Any, ...] = ("/x/y", ["/x/y"], {"a": "/x/y"})


def records(above: type[Options] = Options) -> Iterator[type[Options]]:
    for each in above.__subclasses__():
        yield each
        yield from records(each)


def installed() -> list[type[Options]]:
    """Every record of an option that may stand in a document."""
    assert CATALOGUE.listing()  # imports every record
    never = {
        type(None) if found.plugin is None else found.plugin.options_type
        for found in CATALOGUE.listing()
        if found.family in NEVER_PLACED - {"section"}
    }
    return [each for each in dict.fromkeys(records()) if each.__module__.startswith("hookgate") and each not in never]


def fields() -> Iterator[tuple[type[Options], str, bool]]:
    """Every option, and whether its type is a path."""
    for record in installed():
        shown = record.model_json_schema().get("properties", {})
        for name, field in record.model_fields.items():
            yield record, name, "path" in re.findall(r"'format': '(\S*path)'", str(shown.get(field.alias or name)))


def refused(record: type[Options], name: str) -> bool:
    field = record.model_fields[name]
    for value in IN_FORMS:
        builder = Builder(CATALOGUE, folder_of=lambda _: StoreFence(Allowed(), None))  # type: ignore[arg-type,return-value]
        builder.record(record, {field.alias or name: value}, ("stored", "one"), "stored")
        for problem in builder.problems:
            if "names a file of this machine" in problem.message and problem.path[2] in (name, field.alias):
                return True
    return False


PATHS = [(record, name) for record, name, is_path in fields() if is_path]


@pytest.mark.parametrize(("record", "name"), PATHS, ids=[f"{r.__name__}.{n}" for r, n in PATHS])
def test_an_option_that_is_a_path_is_refused_where_it_is_stored(record, name):
    assert refused(record, name)


def test_an_option_that_is_called_like_a_file_is_a_path():
    found = {(r.__name__, name) for r, name, is_path in fields() if LIKE_A_FILE.search(name) and not is_path}

    given = {(name, option) for name, option in found if option == "output_context_key"}  # what a node gives

    assert found - given == set(NO_FILES)


def test_who_opens_files_or_runs_code_is_known():
    found = set()
    for folder in ("plugins/*/*/hookgate_*", "contrib/*/hookgate*", "core/hookgate"):
        for file in ROOT.glob(f"{folder}/**/*.py"):
            module = re.sub(r".*?(?=hookgate(_\w+)?\.)", "", ".".join(file.relative_to(ROOT).with_suffix("").parts))
            calls = (
                ast.unparse(each.func)
                for each in ast.walk(ast.parse(file.read_text("utf-8")))
                if isinstance(each, ast.Call)
            )
            if not LATER.fullmatch(module) and any(CALLS.search(each) and not NO_CALLS.search(each) for each in calls):
                found.add(module)

    assert found == OPENS.keys()
