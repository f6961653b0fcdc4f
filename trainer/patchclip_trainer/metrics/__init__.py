"""The measures, each defined once: pure numpy on maps of one grid, points and boxes in source pixels.

A measure with an interval is a *statistic*: a function of weights (B, N), one row a bootstrap sample and one column an
image, that gives (B,) values. Weights of one are the sample at hand.
"""
