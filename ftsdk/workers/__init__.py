"""Jobs on this machine: a folder for each job, a detached worker process, events, the queue for a device."""
