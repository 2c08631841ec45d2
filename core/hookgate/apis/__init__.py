"""APIs: trees of resources and operations whose flows come down from the API, made into routes."""
