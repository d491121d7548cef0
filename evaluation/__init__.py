"""Evaluation of a fixed suite, rendered in several ways, by tables of scores."""

from pipelines.threads import limit_threads

limit_threads()
