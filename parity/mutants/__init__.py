"""Deliberate mistakes of a port, each of which the harness must find, and rewrites, which it must let pass."""
