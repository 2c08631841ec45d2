"""APIs: trees of resources and operations whose flows come down from the API, made into routes."""

from hookgate_apis.effects import Effects, effects
from hookgate_apis.placing import CannotPlace, Where, added, moved, removed, tree_of
from hookgate_apis.preview import Change, as_data, broken_at, preview
from hookgate_apis.sections import Apis, Applications, Plans
from hookgate_apis.tree import DIRECTIONS, Scope

__all__ = [
    "DIRECTIONS",
    "Apis",
    "Applications",
    "CannotPlace",
    "Change",
    "Effects",
    "Plans",
    "Scope",
    "Where",
    "added",
    "as_data",
    "broken_at",
    "effects",
    "moved",
    "preview",
    "removed",
    "tree_of",
]
