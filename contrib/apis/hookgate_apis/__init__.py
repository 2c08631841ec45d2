"""APIs: trees of resources and operations whose flows come down from the API, made into routes."""

from hookgate_apis.sections import Apis, Applications, Plans

__all__ = ["Apis", "Applications", "Plans"]
