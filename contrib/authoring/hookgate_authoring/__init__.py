"""What ``new-plugin`` and ``plugin check`` know of a plugin's project: names, files, place in a workspace."""
