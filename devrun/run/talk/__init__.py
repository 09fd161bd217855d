"""Talking to a live run: the protocol, the supervisor's end of it, and what commands do with it."""
