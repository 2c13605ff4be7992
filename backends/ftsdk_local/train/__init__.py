"""The training itself, a room for each method; imported in the worker process only."""
