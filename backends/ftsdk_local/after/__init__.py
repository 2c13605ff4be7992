"""What can be done with an artifact once it is made: the steps that ``ftsdk.artifact.steps`` finds by their names."""
