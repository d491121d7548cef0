"""The evaluation: renders a fixed suite in several ways and tables the scores."""
