"""Tests of a port, with pytest or without: `assert_same`, and what it says when it fails."""
