"""Where things are: from source pixels to model input to patches, and back to regions, outlines and targets."""
