"""CharaConsist (ICCV 2025): the same character in every frame, without training.

Step plans, banks, masks and matches as plain tensor code. It imports torch alone and knows
nothing of FLUX, prompts or pictures.
"""

from .bank import Bank
from .frame_pass import FirstStep, FramePass, Layout, Shared
from .masks import AttentionMaps, TextLengths, clean_mask, token_attention
from .matching import Matches, SimilarityMap, find_matches
from .plan import StepPlan
from .storage import BankFull, BankStorage

__all__ = [
    "AttentionMaps",
    "Bank",
    "BankFull",
    "BankStorage",
    "FirstStep",
    "FramePass",
    "Layout",
    "Matches",
    "Shared",
    "SimilarityMap",
    "StepPlan",
    "TextLengths",
    "clean_mask",
    "find_matches",
    "token_attention",
]
