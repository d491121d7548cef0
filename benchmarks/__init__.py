"""Commands that measure the published figures; run with `python -m benchmarks.NAME`."""

from pipelines.threads import limit_threads

limit_threads()
