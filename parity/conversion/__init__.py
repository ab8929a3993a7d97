"""A checkpoint converted for a port of the user's: its weights under the port's own names."""
