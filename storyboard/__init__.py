"""The application: what a storyboard is, how it is stored, run, shown and exported."""

__version__ = "0.1.0"
