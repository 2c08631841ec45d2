"""What ``plugin new`` and ``plugin check`` know of a plugin's project: names, files, place in a workspace."""
