"""Whether a service is ready, and whether it is the right one that answers."""
