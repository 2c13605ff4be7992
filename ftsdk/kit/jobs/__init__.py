"""Jobs on this machine: each a folder that one can read, and a worker process that outlives whoever started it."""
