"""Stage 1: images and reports are aligned by contrastive learning."""
