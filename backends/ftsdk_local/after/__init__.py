"""What comes after a training, each a step of its own that only reads what it starts from: merge, quantize.

A step makes its result beside the place where it shall be, checks it, and renames it there; see
:func:`ftsdk.artifact.place`. Killed at any moment, it leaves nothing that could be taken for finished, and run again
it finishes.
"""
