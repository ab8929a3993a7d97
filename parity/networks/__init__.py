"""Whose networks are compared, on what inputs."""
