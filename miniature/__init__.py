"""The embedded model: a FLUX in miniature, its drawn world and its training."""

from pipelines.threads import limit_threads

limit_threads()
