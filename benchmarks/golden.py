"""Run `python -m evaluation.fidelity` under its earlier name."""

from evaluation.fidelity.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main())
