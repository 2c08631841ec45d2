"""Resolve ${env:NAME} from the environment."""
