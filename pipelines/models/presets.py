"""How much memory a model may take: the ways to place it, what each needs and costs; no torch.

    fits = survey(FLUX1_DEV, Machine("cuda", gpus=(24 * 10**9,), host=64 * 10**9))
    [fit.preset.name for fit in fits if not fit.problem]   # what would work there

Needs are counted from the shapes of weights and of what is computed. `pipelines.loading.placement`
finds the machine and applies a preset.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.models.sizes import ModelParts, PartSizes
from pipelines.models.specs import ModelSpec

DeviceKind = Literal["cuda", "mps", "cpu"]
Offload = Literal["none", "spread", "model", "group", "leaf"]
Quantisation = Literal["none", "fp8", "int8", "nf4"]

AUTO = "auto"
GIGABYTE = 10**9
# What a GPU holds besides what is counted: its kernels, cuBLAS's workspace, gaps between tensors.
# An assumption; everything else here is counted.
GPU_RESERVE = GIGABYTE // 2
# Stepping down after an out-of-memory must win at least this much, or it would only fail again.
WORTHWHILE = GIGABYTE // 4
_TWO_LARGE_GPUS = (1000 * GIGABYTE,) * 2
# Bytes of a quantised weight. Scales: one a row in 8 bits (not counted, a thousandth); in nf4 one
# float32 for each 64 weights.
_QUANTISED_BYTES = {"fp8": 1.0, "int8": 1.0, "nf4": 0.5 + 4 / 64}


@dataclass(frozen=True)
class Machine:
    """The memory that a model could take.

    Attributes:
        kind: what computes.
        gpus: free bytes of every CUDA device that may be used, the one that computes first.
        host: free bytes of host memory (of unified memory on MPS); None where not known.
    """

    kind: DeviceKind
    gpus: tuple[int, ...] = ()
    host: int | None = None


@dataclass(frozen=True)
class Need:
    """The memory that a model takes in one preset, in bytes.

    Attributes:
        gpus: of every GPU that it uses; empty where the host computes.
        host: of host memory.
    """

    gpus: tuple[int, ...]
    host: int

    @property
    def computing(self) -> int:
        """Of the device that computes."""
        return self.gpus[0] if self.gpus else self.host


@dataclass(frozen=True)
class Workload:
    """A model at its native size of picture, in a number format.

    Attributes:
        parts: the sizes of its networks.
        step: what a denoising step holds besides weights, in bytes.
        decoder: what decoding a picture holds besides weights, in bytes.
        itemsize: bytes of a value.
    """

    parts: ModelParts
    step: int
    decoder: int
    itemsize: int

    @classmethod
    def of(cls, spec: ModelSpec, itemsize: int) -> Workload | None:
        """None for a model whose size is not known."""
        parts = spec.parts
        if parts is None:
            return None
        step = parts.step_bytes(spec.width, spec.height, spec.max_sequence_length, itemsize)
        return cls(parts, step, parts.decoder_bytes(spec.width, spec.height, itemsize), itemsize)


@dataclass(frozen=True)
class MemoryPreset:
    """One way to place a model.

    Attributes:
        name: what people call it.
        title: what it does, a few words.
        note: what it costs, one sentence; counted, or published where it says so.
        offload: where weights wait: "none" (they do not), "spread" over several GPUs, or in host
            memory as whole networks ("model"), blocks ("group") or layers ("leaf").
        quantisation: what the weights are rounded to.
        quantised: the networks that are.
        packages: what it needs besides requirements.txt.
        devices: where it works.
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
        """Whether the pictures are those of the weights as they are."""
        return self.quantisation == "none"

    def part_bytes(self, work: Workload, name: str) -> int:
        """What the weights of a network ("transformer", "t5", "clip" or "vae") take."""
        part: PartSizes = getattr(work.parts, name)
        whole = part.whole * part.bytes_each(work.itemsize)
        if name in self.quantised:
            saved = work.itemsize - _QUANTISED_BYTES[self.quantisation]
            return int(whole - part.linear * saved)
        return int(whole)

    def moved(self, work: Workload) -> tuple[int, int]:
        """Bytes of weights that cross between host and GPU for one step, and for one picture."""
        weights = self.part_bytes(work, "transformer")
        if self.offload in ("group", "leaf"):
            return weights, 0
        # The decoder takes the transformer's place once a picture; it goes and comes back.
        return 0, 2 * weights if self.offload == "model" else 0

    def visiting(self, work: Workload) -> int:
        """Bytes of the transformer that come to the GPU for a step, and do not lie there else."""
        transformer = work.parts.transformer
        each = transformer.bytes_each(work.itemsize)
        if self.offload == "group":
            # The block that computes, the next one on its way, and what is outside of blocks.
            return int((2 * transformer.block + transformer.rest) * each)
        if self.offload == "leaf":
            return int(2 * transformer.layer * each)
        return self.part_bytes(work, "transformer") if self.offload == "model" else 0

    def need(self, work: Workload, machine: Machine) -> Need:
        """What it takes of a machine; for a spread that does not fit, of two large GPUs."""
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
        """With blocks or layers waiting in host memory; CLIP and the decoder stay on the GPU."""
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
    """How many double-stream blocks every GPU takes, so that what is left free is shared evenly.

    The first GPU also takes the single-stream blocks, where frames share their character, and
    decodes; T5 lies on the last GPU.

    Args:
        work: the model.
        gpus: free bytes of every GPU.

    Returns:
        One number a GPU; None where they do not fit, or there is only one GPU.
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
    """What every GPU takes with so many of the double-stream blocks."""
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


MEMORY_PRESETS: tuple[MemoryPreset, ...] = (
    MemoryPreset(
        name="full",
        title="everything stays where it computes",
        note="Nothing is moved: the fastest.",
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
    MemoryPreset(
        name="fp8",
        title="the transformer in 8-bit floats, the networks take turns",
        note="Pictures differ from the exact ones (how much was not measured); weights are widened "
        "as they are used.",
        offload="model",
        quantisation="fp8",
        quantised=("transformer",),
        packages=("torchao",),
        devices=("cuda", "cpu"),
    ),
    MemoryPreset(
        name="int8",
        title="the transformer in 8-bit integers, the networks take turns",
        note="As fp8, with steps of equal size in every row of weights.",
        offload="model",
        quantisation="int8",
        quantised=("transformer",),
        packages=("torchao",),
        devices=("cuda", "cpu"),
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
    """How a preset would do on a machine.

    Attributes:
        preset: the preset.
        need: what the model takes; None where its size is not known.
        problem: why it cannot be taken, as "needs ..."; empty where nothing is known against it.
        about_memory: whether that is because there is too little memory.
    """

    preset: MemoryPreset
    need: Need | None
    problem: str = ""
    about_memory: bool = False


def find_preset(name: str) -> MemoryPreset:
    """The preset of this name.

    Raises:
        ValueError: if there is none, with the nearest name where one is near.
    """
    for preset in MEMORY_PRESETS:
        if name.strip().casefold() == preset.name:
            return preset
    names = [AUTO, *(preset.name for preset in MEMORY_PRESETS)]
    near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=0.6)
    suggestion = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"There is no memory preset {name!r}.{suggestion} Known presets: {', '.join(names)}."
    )


def fit(preset: MemoryPreset, spec: ModelSpec, machine: Machine, itemsize: int) -> Fit:
    """Whether a model fits a machine in a preset; loads nothing.

    Args:
        preset: the preset.
        spec: the model.
        machine: the memory there is.
        itemsize: bytes of a value in the number format that is used.
    """
    work = Workload.of(spec, itemsize)
    need = None if work is None else preset.need(work, machine)
    hindrance = _hindrance(preset, spec, machine)
    if hindrance or work is None or need is None:
        return Fit(preset, need, hindrance)
    shortage = _shortage(preset, work, machine, need)
    return Fit(preset, need, shortage, about_memory=bool(shortage))


def survey(spec: ModelSpec, machine: Machine, itemsize: int) -> tuple[Fit, ...]:
    """All presets, in the order in which they are tried."""
    return tuple(fit(preset, spec, machine, itemsize) for preset in MEMORY_PRESETS)


def choose(spec: ModelSpec, machine: Machine, itemsize: int) -> Fit:
    """The first preset that fits: exact ones first, the fastest of them first.

    Quantised presets come after all exact ones, so they are taken only where those cannot work.

    Returns:
        Where none fits, the one that needs the least of the device that computes.
    """
    fits = survey(spec, machine, itemsize)
    for found in fits:
        if not found.problem:
            return found
    known = [found for found in fits if machine.kind in found.preset.devices and found.need]
    return min(known, key=lambda found: found.need.computing if found.need else 0)


def step_down(
    spec: ModelSpec, machine: Machine, itemsize: int, current: MemoryPreset
) -> Fit | None:
    """What to try after memory ran out: the next preset that fits and needs clearly less.

    Args:
        spec: the model.
        machine: the memory there is without it.
        itemsize: bytes of a value in the number format that is used.
        current: the preset in which memory ran out.

    Returns:
        None where there is nothing smaller.
    """
    place = MEMORY_PRESETS.index(current)
    before = fit(current, spec, machine, itemsize).need
    for preset in MEMORY_PRESETS[place + 1 :]:
        found = fit(preset, spec, machine, itemsize)
        if found.problem:
            continue
        if before is None or found.need is None:
            return found
        if before.computing - found.need.computing >= WORTHWHILE:
            return found
    return None


def _hindrance(preset: MemoryPreset, spec: ModelSpec, machine: Machine) -> str:
    """Why a preset cannot be taken, whatever the memory; empty where it can."""
    if machine.kind not in preset.devices:
        return "is for CUDA GPUs" if preset.devices == ("cuda",) else "is not for MPS"
    if spec.packed and not preset.exact:
        return "is not for GGUF files, which are quantised already"
    if preset.offload == "spread" and len(machine.gpus) < 2:
        return "takes two GPUs or more"
    missing = [name for name in preset.packages if importlib.util.find_spec(name) is None]
    return f"needs a package (pip install {' '.join(missing)})" if missing else ""


def _shortage(preset: MemoryPreset, work: Workload, machine: Machine, need: Need) -> str:
    """What memory does not suffice for a preset; empty where it does."""
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
    words = f"needs {needed / GIGABYTE:.1f} GB of {where}"
    return f"{words}, and {free / GIGABYTE:.1f} GB are free"
