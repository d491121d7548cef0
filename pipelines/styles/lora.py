"""Load style LoRAs into a pipeline for the length of a render, and restore it exactly afterwards.

    with style_loras(pipeline, loras) as styles:
        for event in pipeline.stream(request): ...

They are PEFT adapters beside the weights, which do not change. PEFT adds them itself: diffusers'
loaders know neither T5 nor biases without matrices. It knows nothing of prompts:
`pipelines.request.with_trigger` writes the trigger words.
"""

from __future__ import annotations

import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from diffusers import FluxPipeline
from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from torch import Tensor, nn

from pipelines.devices import quiet_libraries
from pipelines.errors import ModelError, OutOfMemoryError, is_out_of_memory
from pipelines.request import StyleLora
from pipelines.styles.changes import LayerChange
from pipelines.styles.check import find_style_file
from pipelines.styles.kronecker import attach_kronecker
from pipelines.styles.names import PARTS
from pipelines.styles.weights import ANOTHER_FILE, StyleWeights, read_weights

_ADAPTER = "throughline_style_{}"
# Attributes that the loaders set on a model.
_LOADERS_NOTES = ("peft_config", "_hf_peft_config_loaded", "_weight_conversions")
_LONGEST_FAULT = 300  # characters; some of the libraries' messages list every tensor
# Exceptions of diffusers, PEFT and safetensors at unsuitable files.
_FOREIGN_FILE_ERRORS = (
    *(ValueError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError, OSError),
    *(MemoryError, SafetensorError),
)


@dataclass(frozen=True)
class LoadedStyle:
    """A style that is loaded into the pipeline.

    Attributes:
        lora: the style.
        adapter: name of its PEFT adapter.
        transformer_layers: number of layers of the transformer that it changes.
        text_encoder_layers: number of layers of both text encoders that it changes.
        notes: parts of the file that are not used, each a sentence for a person.
    """

    lora: StyleLora
    adapter: str
    transformer_layers: int
    text_encoder_layers: int
    notes: tuple[str, ...]


@contextmanager
def style_loras(
    pipeline: FluxPipeline, loras: Sequence[StyleLora]
) -> Iterator[tuple[LoadedStyle, ...]]:
    """Render in these styles until the block ends.

    At its end, also by an exception or a closed generator, the pipeline has the same modules with
    the same weights as before. Adapters that it had before stay active in the block and after it. A
    pipeline with model offloading keeps its hooks.

    Args:
        pipeline: a pipeline with a transformer; its text encoders may be None. LoRAs change the
            transformer and, where they have layers for them, both text encoders.
        loras: the styles, added to each other.

    Yields:
        The loaded styles, in the order of `loras`.

    Raises:
        ModelError: if a file is missing, is no LoRA or is one for another model; nothing remains
            loaded then.
        ValueError: if the pipeline has fused projections or merged adapters, which hide the layers
            that LoRAs change.
    """
    models = [getattr(pipeline, part) for part in PARTS] if loras else []
    before = [_ModelState(model) for model in models if model is not None]
    taken = {adapter for state in before for adapter in state.adapters}
    free = (name for name in map(_ADAPTER.format, count()) if name not in taken)
    names = list(islice(free, len(loras)))
    try:
        styles = tuple(_load(pipeline, lora, name) for lora, name in zip(loras, names, strict=True))
        for state in before:
            state.activate(styles)
        yield styles
    finally:
        for state in before:
            state.restore(names)


class _ModelState:
    """State of a model without the styles, to be restored: its modules, flags and adapters.

    Raises:
        ValueError: if its projections are fused or an adapter is merged into its weights.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        modules = list(model.modules())
        layers = _adapter_layers(model)
        if any(layer.merged for layer in layers):
            raise ValueError("adapters are merged into the weights: call unfuse_lora() first")
        if any(getattr(module, "fused_projections", False) for module in modules):
            raise ValueError("projections are fused: call unfuse_qkv_projections() first")
        self._children = [(m, name, child) for m in modules for name, child in m.named_children()]
        self._training = [(m, m.training) for m in modules]
        self._trainable = [(p, p.requires_grad) for p in model.parameters()]
        self._notes = {name: vars(model)[name] for name in _LOADERS_NOTES if name in vars(model)}
        self.adapters = dict(self._notes.get("peft_config") or {})
        self._layers = [
            (layer, list(layer.active_adapters), layer.disable_adapters, dict(layer.scaling))
            for layer in layers
        ]

    def activate(self, styles: Sequence[LoadedStyle]) -> None:
        """Activate the styles at their weights, besides the adapters that were active before."""
        names = [style.adapter for style in styles]
        active = {id(layer): [] if off else on for layer, on, off, _ in self._layers}
        for layer in _adapter_layers(self._model):
            layer.enable_adapters(True)
            layer.set_adapter([*active.get(id(layer), []), *names], inference_mode=True)
            for style in styles:
                layer.set_scale(style.adapter, style.lora.weight)

    def restore(self, names: Sequence[str]) -> None:
        """Remove what there is of these adapters; PEFT's removal would leave empty layers."""
        for parent, name, child in self._children:
            if getattr(parent, name) is not child:
                setattr(parent, name, child)
        for layer, active, off, scaling in self._layers:
            layer.set_adapter(active)
            for name in names:
                layer.delete_adapter(name)
            layer.enable_adapters(not off)
            layer.scaling.update(scaling)
        for name in _LOADERS_NOTES:
            vars(self._model).pop(name, None)
        vars(self._model).update(self._notes)
        if self.adapters:
            self._notes["peft_config"].clear()
            self._notes["peft_config"].update(self.adapters)
        for module, training in self._training:
            module.training = training
        for parameter, trainable in self._trainable:
            parameter.requires_grad_(trainable)


def _adapter_layers(model: nn.Module) -> list[Any]:
    """Return the layers with adapters, of any kind that PEFT knows."""
    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def _load(pipeline: FluxPipeline, lora: StyleLora, adapter: str) -> LoadedStyle:
    """Load one LoRA as an adapter of this name; every error becomes a `ModelError`."""
    path = find_style_file(lora.source)
    try:
        weights = read_weights(path, lora.source, pipeline)
        _attach(pipeline, weights, adapter)
    except ModelError:
        raise
    except _FOREIGN_FILE_ERRORS as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"Memory ran out while the LoRA {lora.source} was loaded.",
                "Close other programs that use the memory, or leave a style out.",
            ) from error
        fault = textwrap.shorten(str(error), _LONGEST_FAULT) or type(error).__name__
        raise ModelError(
            f"The LoRA {lora.source} cannot be used: {fault}", ANOTHER_FILE, "broken"
        ) from error
    return LoadedStyle(
        lora,
        adapter,
        weights.count("transformer"),
        weights.count("text_encoder") + weights.count("text_encoder_2"),
        weights.notes,
    )


def _attach(pipeline: FluxPipeline, weights: StyleWeights, adapter: str) -> None:
    """Add the changes beside the weights, as PEFT adapters."""
    for part in PARTS:
        model = getattr(pipeline, part)
        if weights.layers[part]:
            with _quiet_loaders():
                _attach_loras(model, weights.layers[part], adapter)
        for name, change in weights.kroneckers[part].items():
            attach_kronecker(model, name, adapter, change)


def _attach_loras(model: nn.Module, changes: Mapping[str, LayerChange], adapter: str) -> None:
    """Add pairs of matrices to the layers of these names, with a scale of 1."""
    usual = Counter(change.rank for change in changes.values()).most_common(1)[0][0]
    ranks = {
        f"^{re.escape(name)}": change.rank
        for name, change in changes.items()
        if change.rank != usual
    }
    biased = any(change.bias is not None for change in changes.values())
    tensors: dict[str, Tensor] = {}
    for name, change in changes.items():
        tensors[f"{name}.lora_A.weight"] = change.down
        tensors[f"{name}.lora_B.weight"] = change.up
        if biased:  # PEFT has them for all layers or none
            none = change.up.new_zeros(change.up.shape[0])
            tensors[f"{name}.lora_B.bias"] = none if change.bias is None else change.bias
    config = LoraConfig(
        r=usual,
        lora_alpha=usual,
        rank_pattern=ranks,
        alpha_pattern=ranks,
        target_modules=list(changes),
        lora_bias=biased,
    )
    inject_adapter_in_model(config, model, adapter, low_cpu_mem_usage=True, state_dict=tensors)
    loaded: Any = set_peft_model_state_dict(model, tensors, adapter, low_cpu_mem_usage=True)
    if loaded.unexpected_keys:
        raise RuntimeError(f"PEFT found no layer for {', '.join(loaded.unexpected_keys)}")


@contextmanager
def _quiet_loaders() -> Iterator[None]:
    """Silence PEFT's warnings of what is intended here.

    Intended are several adapters in a model, layers whose name is the end of another's (`proj_out`:
    PEFT takes exactly the names in the file), and biases for layers that have none of their own.
    Errors are raised as ever.
    """
    with quiet_libraries(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
        warnings.filterwarnings("ignore", "While injecting the PEFT", RuntimeWarning)
        warnings.filterwarnings("ignore", ".*lora_bias", UserWarning)
        yield
