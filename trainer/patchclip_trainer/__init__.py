"""Retrains the model on images and boxes of one's own: prepare, train, evaluate, export."""
