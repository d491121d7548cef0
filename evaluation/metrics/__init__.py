"""Scores of painted pictures. Painting knows nothing of it."""
