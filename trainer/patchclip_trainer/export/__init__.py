"""From a trained checkpoint and out-of-fold predictions to a checkpoint that a node decides with."""
