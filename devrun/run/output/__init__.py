"""What a run shows and keeps: many services, one stdout, bounded log files and their readers."""
