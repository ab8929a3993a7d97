"""The alignment report: what a reviewer reads before merging a port, of the size of a pull request's description."""
