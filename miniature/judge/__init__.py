"""The judge: a small network that says what a picture of the drawn world shows.

The measuring instrument of every number about what the miniature paints; trained on drawn pictures
alone, whose truth is known.
"""
