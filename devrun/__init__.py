"""devrun: the launcher that makes leaked dev servers and port clashes impossible."""

__version__ = "0.1.0"
