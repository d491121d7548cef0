"""The application: storyboards, their storage, their renders, and the front ends."""

__version__ = "0.1.0"
