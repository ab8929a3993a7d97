"""Why a layer differs from a recorded reference, which cannot be run again: in NumPy, without either framework."""
