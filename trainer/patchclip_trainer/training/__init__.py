"""Training: recipes, batches from prepared data, the loop, and what is kept of a run on disk."""
