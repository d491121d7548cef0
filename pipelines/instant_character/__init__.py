"""InstantCharacter: a character from one picture, in every attention of a FLUX transformer.

A picture's features (`encoders`) become subject tokens (`projector`, `resampler`), and every block
cross-attends to them through its own adapter (`adapters`). Attention processors call a `Subject`.
"""
