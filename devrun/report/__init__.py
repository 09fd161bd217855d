"""Results become JSON-ready values, exit codes, tables and lines."""
