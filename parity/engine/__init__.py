"""Runs both networks, in lock-step, and finds who is guilty."""
