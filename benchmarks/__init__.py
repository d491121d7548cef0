"""One command for every published figure; run with `python -m benchmarks.NAME`."""
