"""Foreign engines on this machine: their environments, their processes, and what stands beside them."""
