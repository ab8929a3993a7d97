"""One module for each group of alignment points."""
