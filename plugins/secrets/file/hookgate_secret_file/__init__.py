"""Resolve ${file:/path} from a file."""
