"""One verb per file: call the rooms below, report."""
