"""Memory presets: ways to place a model, their needs and their costs; no torch.

Needs are counted from the shapes of weights and activations. `pipelines.loading.placement` applies
a preset.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.models.sizes import ModelParts, PartSizes
from pipelines.models.specs import ModelSpec

DeviceKind = Literal["cuda", "mps", "cpu"]
Offload = Literal["none", "spread", "model", "group", "leaf"]
Quantisation = Literal["none", "fp8", "int8", "nf4"]

AUTO = "auto"
GIGABYTE = 10**9
# Bytes of a GPU for kernels, cuBLAS's workspace and gaps between tensors. An assumption; everything
# else here is counted.
GPU_RESERVE = GIGABYTE // 2
# Bytes that a step down must save at least after memory ran out, or it would only fail again.
WORTHWHILE = GIGABYTE // 4
_TWO_LARGE_GPUS = (1000 * GIGABYTE,) * 2
# Bytes of a quantised weight. Scales: one a row in 8 bits (not counted, a thousandth); in nf4 one
# float32 for each 64 weights.
_QUANTISED_BYTES = {"fp8": 1.0, "int8": 1.0, "nf4": 0.5 + 4 / 64}


@dataclass(frozen=True)
class Machine:
    """Free memory of a machine.

    Attributes:
        kind: kind of the device that computes.
        gpus: free bytes of every CUDA device that may be used, the computing one first.
        host: free bytes of host memory (of unified memory on MPS); None where it is not known.
    """

    kind: DeviceKind
    gpus: tuple[int, ...] = ()
    host: int | None = None


@dataclass(frozen=True)
class Need:
    """Memory that a model takes in one preset, in bytes.

    Attributes:
        gpus: memory of every GPU that it uses; empty where the host computes.
        host: host memory.
    """

    gpus: tuple[int, ...]
    host: int

    @property
    def computing(self) -> int:
        """Memory of the device that computes."""
        return self.gpus[0] if self.gpus else self.host


@dataclass(frozen=True)
class Workload:
    """A model at its native picture size, in a number format.

    Attributes:
        parts: sizes of its networks.
        step: peak bytes of a denoising step besides weights.
        decoder: peak bytes of decoding a picture besides weights.
        itemsize: bytes of a value.
    """

    parts: ModelParts
    step: int
    decoder: int
    itemsize: int

    @classmethod
    def of(cls, spec: ModelSpec, itemsize: int) -> Workload | None:
        """Return the workload of a model; None where its size is not known."""
        parts = spec.parts
        if parts is None:
            return None
        step = parts.step_bytes(spec.width, spec.height, spec.max_sequence_length, itemsize)
        return cls(parts, step, parts.decoder_bytes(spec.width, spec.height, itemsize), itemsize)


@dataclass(frozen=True)
class MemoryPreset:
    """Way to place a model in memory.

    Attributes:
        name: its name on the command line.
        title: its effect in a few words.
        note: its cost in one sentence; counted, or published where it says so.
        offload: "none" (all weights stay on the device), "spread" (over several GPUs), or weights
            wait in host memory as whole networks ("model"), blocks ("group") or layers ("leaf").
        quantisation: number format of the quantised weights.
        quantised: names of the networks with quantised weights.
        packages: packages that it needs besides requirements.txt.
        devices: kinds of devices that it works on.
    """

    name: str
    title: str
    note: str
    offload: Offload = "none"
    quantisation: Quantisation = "none"
    quantised: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    devices: tuple[DeviceKind, ...] = ("cuda",)

    @property
    def exact(self) -> bool:
        """True where weights are not rounded, so that the pictures are the same."""
        return self.quantisation == "none"

    def part_bytes(self, work: Workload, name: str) -> int:
        """Return the bytes of a network's weights ("transformer", "t5", "clip" or "vae")."""
        part: PartSizes = getattr(work.parts, name)
        whole = part.whole * part.bytes_each(work.itemsize)
        if name in self.quantised:
            saved = work.itemsize - _QUANTISED_BYTES[self.quantisation]
            return int(whole - part.linear * saved)
        return int(whole)

    def moved(self, work: Workload) -> tuple[int, int]:
        """Return the bytes that cross between host and GPU for one step, and for one picture."""
        weights = self.part_bytes(work, "transformer")
        if self.offload in ("group", "leaf"):
            return weights, 0
        # The decoder takes the transformer's place once a picture; it goes and comes back.
        return 0, 2 * weights if self.offload == "model" else 0

    def visiting(self, work: Workload) -> int:
        """Return the bytes of the transformer that are on the GPU only during a step."""
        transformer = work.parts.transformer
        if self.offload == "group":
            # The block that computes, the next one, and the layers outside of blocks.
            parameters = 2 * transformer.block + transformer.rest
            return int(parameters * transformer.bytes_each(work.itemsize))
        if self.offload == "leaf":
            return int(2 * transformer.layer * transformer.bytes_each(work.itemsize))
        return self.part_bytes(work, "transformer") if self.offload == "model" else 0

    def need(self, work: Workload, machine: Machine) -> Need:
        """Return its need on a machine; for a spread that does not fit, on two large GPUs."""
        sizes = {name: self.part_bytes(work, name) for name in ("transformer", "t5", "clip", "vae")}
        everything, busiest = sum(sizes.values()), max(work.step, work.decoder)
        if machine.kind != "cuda":
            return Need((), everything + busiest)
        if self.offload == "none":
            return Need((everything + busiest + GPU_RESERVE,), 0)
        if self.offload == "spread":
            counts = share_blocks(work, machine.gpus) or share_blocks(work, _TWO_LARGE_GPUS)
            return Need(_spread_bytes(work, counts or (0, 0)), 0)
        if self.offload == "model":
            turns = [sizes["transformer"] + work.step, sizes["t5"], sizes["vae"] + work.decoder]
            if self.quantisation == "nf4":
                # bitsandbytes quantises on the GPU, where both stay until everything is loaded.
                turns.append(sizes["transformer"] + sizes["t5"])
            return Need((max(turns) + GPU_RESERVE,), everything)
        return self._need_in_pieces(work, sizes)

    def _need_in_pieces(self, work: Workload, sizes: dict[str, int]) -> Need:
        """Return the need with blocks or layers in host memory; CLIP and VAE stay on the GPU."""
        transformer, t5 = work.parts.transformer, work.parts.t5
        if self.offload == "group":
            encoder = (t5.block + t5.rest) * work.itemsize
            # Blocks are copied from pinned memory, which comes in powers of two.
            waiting = int(transformer.pinned * transformer.bytes_each(work.itemsize))
        else:
            encoder, waiting = t5.layer * work.itemsize, sizes["transformer"]
        busiest = max(self.visiting(work) + work.step, encoder, work.decoder)
        staying = sizes["clip"] + sizes["vae"]
        return Need((staying + busiest + GPU_RESERVE,), waiting + sizes["t5"])


def share_blocks(work: Workload, gpus: Sequence[int]) -> tuple[int, ...] | None:
    """Return the number of double-stream blocks for every GPU that leaves them equally free.

    The first GPU also takes the single-stream blocks, where frames share their character, and
    decodes; T5 is on the last GPU.

    Args:
        work: the model.
        gpus: free bytes of every GPU.

    Returns:
        One number for each GPU; None where they do not fit, or there is only one GPU.
    """
    blocks = work.parts.transformer.blocks
    if len(gpus) < 2 or not blocks:
        return None
    block = int(work.parts.transformer.block * work.parts.transformer.bytes_each(work.itemsize))
    without = _spread_bytes(work, (0,) * len(gpus))
    free = [gpu - taken for gpu, taken in zip(gpus, without, strict=True)]
    counts = [0] * len(gpus)
    for _ in range(blocks):
        emptiest = max(range(len(free)), key=free.__getitem__)
        counts[emptiest] += 1
        free[emptiest] -= block
    return tuple(counts) if min(free) >= 0 else None


def _spread_bytes(work: Workload, counts: Sequence[int]) -> tuple[int, ...]:
    """Return the need of every GPU for these numbers of double-stream blocks."""
    parts, size = work.parts, work.itemsize
    each = parts.transformer.bytes_each(size)
    block = parts.transformer.block * each
    singles = (parts.transformer.whole - parts.transformer.blocks * parts.transformer.block) * each
    home = singles + (parts.clip.whole + parts.vae.whole) * size + max(work.step, work.decoder)
    others = [float(work.step)] * (len(counts) - 1)
    others[-1] += parts.t5.whole * size
    return tuple(
        int(taken + count * block) + GPU_RESERVE
        for taken, count in zip([home, *others], counts, strict=True)
    )


_FP8 = MemoryPreset(
    name="fp8",
    title="the transformer in 8-bit floats, the networks take turns",
    note="Pictures differ from the exact ones (how much was not measured); weights are widened "
    "when they are used.",
    offload="model",
    quantisation="fp8",
    quantised=("transformer",),
    packages=("torchao",),
    devices=("cuda", "cpu"),
)
MEMORY_PRESETS: tuple[MemoryPreset, ...] = (
    MemoryPreset(
        name="full",
        title="all weights stay on the device",
        note="No weights are moved: the fastest.",
        devices=("cuda", "mps", "cpu"),
    ),
    MemoryPreset(
        name="spread",
        title="two or more GPUs share the weights",
        note="One GPU computes at a time; only activations cross between them.",
        offload="spread",
    ),
    MemoryPreset(
        name="model-offload",
        title="the networks take turns on the GPU",
        note="The transformer makes way for the decoder once a picture.",
        offload="model",
    ),
    MemoryPreset(
        name="group-offload",
        title="the transformer's blocks come one by one",
        note="The next block is copied while one computes.",
        offload="group",
    ),
    MemoryPreset(
        name="leaf-offload",
        title="the transformer's layers come one by one",
        note="The slowest: published for FLUX.1 are 1.86 s a forward pass, against 0.49 s without.",
        offload="leaf",
    ),
    _FP8,
    replace(
        _FP8,
        name="int8",
        title="the transformer in 8-bit integers, the networks take turns",
        note="Like fp8, with steps of equal size in every row of weights.",
        quantisation="int8",
    ),
    MemoryPreset(
        name="nf4",
        title="transformer and T5 in 4 bits, the networks take turns",
        note="Pictures differ from the exact ones (how much was not measured): a weight has 16 "
        "levels.",
        offload="model",
        quantisation="nf4",
        quantised=("transformer", "t5"),
        packages=("bitsandbytes",),
    ),
)


@dataclass(frozen=True)
class Fit:
    """Result of fitting a model to a machine in a preset.

    Attributes:
        preset: the preset.
        need: the model's need; None where its size is not known.
        problem: reason against the preset, as "needs ..."; empty where none is known.
        about_memory: True where the reason is too little memory.
    """

    preset: MemoryPreset
    need: Need | None
    problem: str = ""
    about_memory: bool = False


def find_preset(name: str) -> MemoryPreset:
    """Return the preset of this name.

    Raises:
        ValueError: if there is none; the message suggests a similar name.
    """
    by_name = {preset.name: preset for preset in MEMORY_PRESETS}
    if name.strip().casefold() in by_name:
        return by_name[name.strip().casefold()]
    names = [AUTO, *by_name]
    near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=0.6)
    suggestion = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"There is no memory preset {name!r}.{suggestion} Known presets: {', '.join(names)}."
    )


def fit(preset: MemoryPreset, spec: ModelSpec, machine: Machine, itemsize: int) -> Fit:
    """Fit a model to a machine in a preset, without loading it, for values of so many bytes."""
    work = Workload.of(spec, itemsize)
    need = None if work is None else preset.need(work, machine)
    hindrance = _hindrance(preset, spec, machine)
    if hindrance or work is None or need is None:
        return Fit(preset, need, hindrance)
    shortage = _shortage(preset, work, machine, need)
    return Fit(preset, need, shortage, about_memory=bool(shortage))


def survey(spec: ModelSpec, machine: Machine, itemsize: int) -> tuple[Fit, ...]:
    """Fit a model in all presets, in the order in which they are tried."""
    return tuple(fit(preset, spec, machine, itemsize) for preset in MEMORY_PRESETS)


def choose(spec: ModelSpec, machine: Machine, itemsize: int) -> Fit:
    """Choose the first preset that fits: exact ones first, the fastest of them first.

    Quantised presets come last, so they are chosen only where no exact one works.

    Returns:
        Where none fits, the one that needs the least memory of the device that computes.
    """
    fits = survey(spec, machine, itemsize)
    fitting = (found for found in fits if not found.problem)
    known = [found for found in fits if machine.kind in found.preset.devices and found.need]
    return next(fitting, None) or min(known, key=lambda f: f.need.computing if f.need else 0)


def step_down(
    spec: ModelSpec, machine: Machine, itemsize: int, current: MemoryPreset
) -> Fit | None:
    """Choose the next preset that fits and needs clearly less, after memory ran out in `current`.

    Args:
        spec: the model.
        machine: the free memory once the model is unloaded.
        itemsize: bytes of a value.
        current: the preset.

    Returns:
        None where there is no smaller one.
    """
    before = fit(current, spec, machine, itemsize).need
    for preset in MEMORY_PRESETS[MEMORY_PRESETS.index(current) + 1 :]:
        found = fit(preset, spec, machine, itemsize)
        if found.problem:
            continue
        if before is None or found.need is None:
            return found
        if before.computing - found.need.computing >= WORTHWHILE:
            return found
    return None


def _hindrance(preset: MemoryPreset, spec: ModelSpec, machine: Machine) -> str:
    """Return the reason against a preset apart from memory; empty where there is none."""
    if machine.kind not in preset.devices:
        return "is for CUDA GPUs" if preset.devices == ("cuda",) else "is not for MPS"
    if spec.packed and not preset.exact:
        return "is not for GGUF files, which are quantised already"
    if preset.offload == "spread" and len(machine.gpus) < 2:
        return "takes two GPUs or more"
    missing = [name for name in preset.packages if importlib.util.find_spec(name) is None]
    return f"needs a package (pip install {' '.join(missing)})" if missing else ""


def _shortage(preset: MemoryPreset, work: Workload, machine: Machine, need: Need) -> str:
    """Return the memory that does not suffice for a preset, in words; empty where it does."""
    if preset.offload == "spread":
        if share_blocks(work, machine.gpus) is None:
            needed = sum(need.gpus) / GIGABYTE
            free = " and ".join(f"{gpu / GIGABYTE:.1f}" for gpu in machine.gpus)
            return f"needs {needed:.1f} GB on two GPUs, and {free} GB are free"
        return ""
    if machine.gpus and need.computing > machine.gpus[0]:
        return too_little("GPU memory", need.computing, machine.gpus[0])
    if machine.host is not None and need.host > machine.host:
        where = "memory" if machine.kind == "mps" else "host memory"
        return too_little(where, need.host, machine.host)
    return ""


def too_little(where: str, needed: int, free: int) -> str:
    """Return "needs 35.9 GB of GPU memory, and 24.0 GB are free" for numbers of bytes."""
    return f"needs {needed / GIGABYTE:.1f} GB of {where}, and {free / GIGABYTE:.1f} GB are free"
