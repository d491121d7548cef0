"""Prompts as tensors: text encoding, and the token spans of a prompt's parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pipelines.consistency.masks import TextLengths
from pipelines.request import Prompt


@dataclass(frozen=True)
class EncodedPrompt:
    """Encoded prompt.

    Attributes:
        prompt_embeds: T5's token embeddings, shape (1, text tokens, channels).
        pooled_prompt_embeds: CLIP's pooled embedding, shape (1, channels).
        text: lengths of the prompt's parts in tokens.
    """

    prompt_embeds: Tensor
    pooled_prompt_embeds: Tensor
    text: TextLengths


def text_lengths(tokenizer: Any, prompt: Prompt, max_sequence_length: int) -> TextLengths:
    """Count the T5 tokens of a prompt's parts, without the end token (CharaConsist's rule)."""

    def length(text: str) -> int:
        ids = tokenizer(text, truncation=True, max_length=max_sequence_length).input_ids
        return len(ids) - 1

    real = length(prompt.text)
    background = prompt.background.strip()
    return TextLengths(min(length(background + " "), real) if background else 0, real)


def unread_words(tokenizer: Any, prompt: Prompt, max_sequence_length: int) -> str:
    """Return the end of a prompt that does not fit; empty where all of it does."""
    ids = tokenizer(prompt.text, truncation=False, verbose=False).input_ids
    if len(ids) <= max_sequence_length:
        return ""
    words: str = tokenizer.decode(ids[max_sequence_length - 1 : -1], skip_special_tokens=True)
    return words.strip()
