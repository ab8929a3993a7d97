"""Every limit of the harness, with its reason."""

from __future__ import annotations

FLOAT64_RELATIVE = 1e-10
"""Greatest |difference| over the tensor's RMS, both frameworks in float64.

The twins agree to about 1e-13; a sharp attention amplifies rounding by some 1e3. The smallest mistake
of interest, an epsilon of 1.001e-5 for 1e-5, moves a layer by 5e-9.
"""

FLOAT32_NOISE_RATIO = 16.0
"""Paddle's greatest distance from the float64 truth over torch's own, both in float32."""

FLOAT32_RELATIVE = 1e-2
"""Greatest |difference| over the tensor's RMS in float32, where no float64 truth was computed.

Coarse: it finds gross faults at the cost of two forward passes. Certification needs float64.
"""

CONDITIONING = 16.0
"""Times the distance to which the reference carries its own rounding errors, free-running in float64.

Two frameworks round otherwise in every layer, and a network may amplify that: where FLOAT64_RELATIVE is exceeded, the
reference is run against itself with a rounding error after every layer (`parity.engine.conditioning`).
"""
