"""CharaConsist (ICCV 2025): the same character in every frame, without training.

Step plans, banks, masks and matches as plain tensor code. It imports torch alone and knows
nothing of FLUX, prompts or pictures.
"""
