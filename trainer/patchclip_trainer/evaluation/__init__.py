"""Judges a checkpoint on images with labels and boxes: predictions, measures with intervals, baselines, a report."""
