"""What both twins share when they train: pixels, schedules and settings. NumPy only; no framework is imported."""
