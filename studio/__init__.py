"""What people look at: the report over a run, one file that needs nothing else. Loads no stage and no torch."""
