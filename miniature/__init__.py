"""The embedded model: a FLUX in miniature, its drawn world and its training."""
