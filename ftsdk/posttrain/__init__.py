"""Post-training steps on the artifacts of every backend: merge, quantize, evaluate, generate. Needs torch."""
