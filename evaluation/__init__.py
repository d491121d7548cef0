"""Evaluation of a fixed suite, rendered in several ways, by tables of scores."""
