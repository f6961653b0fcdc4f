"""Stage 2: patches are tied to the sentences of findings, on images with labels and boxes."""
