"""What a step sees: augmented views of prepared images, as pixels or as kept features."""
