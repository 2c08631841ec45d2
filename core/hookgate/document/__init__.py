"""From text to checked records. It knows no section by name."""

from hookgate.document import yaml12
from hookgate.document.catalogue import ALWAYS, DEFAULTS, FAMILIES, FORMATS, Catalogue, PluginLookupError
from hookgate.document.document import MAX_BYTES, Document, Fence, Place, parse
from hookgate.document.entries import ANY, HOST_KEY, HostOptions, Interceptors, Rejected, written
from hookgate.document.inside import Inside, out_of_place, plugins_in
from hookgate.document.kept import Kept
from hookgate.document.named import NEVER_PLACED
from hookgate.document.sitefolder import kebab
from hookgate.document.validation import checked

__all__ = [
    "ALWAYS",
    "ANY",
    "DEFAULTS",
    "FAMILIES",
    "FORMATS",
    "HOST_KEY",
    "MAX_BYTES",
    "NEVER_PLACED",
    "Catalogue",
    "Document",
    "Fence",
    "HostOptions",
    "Inside",
    "Interceptors",
    "Kept",
    "Place",
    "PluginLookupError",
    "Rejected",
    "checked",
    "kebab",
    "out_of_place",
    "parse",
    "plugins_in",
    "written",
    "yaml12",
]
