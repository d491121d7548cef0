"""Preparing a picture of a character: open it, find the figure, mend the mask, put it on white.

    picture = open_picture(path)
    mask = built_in_matting(picture).mask(picture)
    reference = put_on_white(picture, mend(mask, added, removed))

Knows nothing of the networks that look at the reference. Only `BiRefNetMatting` needs torch, and
imports it when it is used.
"""
