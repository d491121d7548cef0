"""The evaluation: paints a fixed suite in several ways and tables how well each did. No torch."""
