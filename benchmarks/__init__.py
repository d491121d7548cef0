"""Commands that measure the published figures; run with `python -m benchmarks.NAME`."""
