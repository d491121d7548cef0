"""The judge: small networks that read what a picture of the drawn world shows.

The evaluation measures the miniature with it. It is trained on drawn pictures, whose attributes are
known.
"""
