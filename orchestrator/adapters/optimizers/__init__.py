"""Proposals: with a model, by Ax, and space-filling ones; and the process that computes them."""
