"""The local backend: fine-tunes on this machine, in a detached worker process."""
