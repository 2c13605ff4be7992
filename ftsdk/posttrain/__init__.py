"""Post-training steps on the artifacts of every backend: merge, quantize, evaluate, generate. Needs torch.

A step is a function that an entry point in the group ``ftsdk.steps`` names; :mod:`ftsdk.artifact` finds it there, so
that the core imports no torch. It gets the folder of an artifact, or of any model or adapter in the layout of
Transformers and PEFT, and only reads it. What it needs to know of the job stands in the artifact's manifest; of the
manifest's plan it uses what it recognises, because each backend has a plan of its own.

``merge`` and ``quantize`` write a new artifact (:mod:`ftsdk.posttrain.atomic_output`): they fill a hidden folder beside
the target, compare what the new model computes with what the old one does, seal and verify the folder, and rename it
into place. A killed step leaves nothing at the target; a second call with the same inputs returns what the first made.
``evaluate`` and ``load`` write nothing.
"""
