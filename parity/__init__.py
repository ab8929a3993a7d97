"""The parity harness: runs both twins, compares them and says how far they are apart."""

from __future__ import annotations

from threads import configure_threads

configure_threads()
