"""The evaluation's page."""
