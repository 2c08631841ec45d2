"""What ``new-plugin`` and ``plugin-check`` know of a plugin's project: its names, its files, its place in a workspace."""
