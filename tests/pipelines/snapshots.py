"""Snapshots of a pipeline's models, every module and bit, to check that nothing stays behind."""

from __future__ import annotations

import copy
from typing import Any

import torch
from diffusers import FluxPipeline
from torch import Tensor, nn


def named_models(pipeline: FluxPipeline) -> dict[str, nn.Module]:
    parts = ("transformer", "text_encoder", "text_encoder_2")
    return {part: m for part in parts if (m := getattr(pipeline, part)) is not None}


def snapshot(pipeline: FluxPipeline) -> dict[str, Any]:
    """Every module, by identity, with all that is on it, and every weight's bits."""
    found: dict[str, Any] = {}
    for part, model in named_models(pipeline).items():
        for name, module in model.named_modules():
            own = {k: v for k, v in vars(module).items() if k not in ("_parameters", "_buffers")}
            own["_modules"] = [(k, id(v)) for k, v in module._modules.items()]
            found[f"{part}.{name}"] = (id(module), own)
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            found[f"{part}.{name}:"] = (id(tensor), tensor.requires_grad, tensor.detach().clone())
    return copy.copy(found)


def assert_same(pipeline: FluxPipeline, before: dict[str, Any]) -> None:
    after = snapshot(pipeline)
    assert list(after) == list(before)
    for name, (*now, last) in after.items():
        *then, expected = before[name]
        assert now == then, name
        same = torch.equal(last, expected) if isinstance(last, Tensor) else last == expected
        assert same, name
