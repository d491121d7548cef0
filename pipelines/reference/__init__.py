"""Preparation of references: open a picture, cut out the figure, put it on white.

It knows nothing of the networks that read the reference. Only `BiRefNetMatting` needs torch, and
imports it when it is used.
"""
