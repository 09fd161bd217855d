"""The life of a run as a pure state machine: events in, effects out."""
