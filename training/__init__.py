"""Training: its loop, its budget, its processes, and InstantCharacter's own."""

from pipelines.threads import limit_threads

limit_threads()
