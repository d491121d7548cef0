"""`python -m storyboard models`: which models can paint, and in which memory presets they fit.

Nothing is loaded but torch.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipelines.errors import UnknownModelError
from pipelines.models.catalog import MODELS, find_model
from pipelines.models.presets import (
    GIGABYTE,
    MEMORY_PRESETS,
    Fit,
    Machine,
    MemoryPreset,
    Workload,
    choose,
    survey,
)
from pipelines.models.specs import ModelSpec
from storyboard.cli.arguments import argument
from storyboard.errors import UsageError
from storyboard.settings import Settings

_DESCRIPTION = """\
List the models, their licences, and in which memory presets they fit on this machine.

With --gpu, on a machine with such GPUs instead: to see what a card would do before it is bought.
Needs are counted for a picture of the model's own size; what a storyboard keeps of one frame for
the others takes what is left, or is not kept at all where all frames are painted side by side.
"""
_FOREGROUND = 0.3
_UNITS = ((GIGABYTE, "GB"), (10**6, "MB"), (10**3, "kB"))


def add_models(add_parser: Callable[..., argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command to the command line's parser, and return its own."""
    command = add_parser(
        "models",
        help="list the models that can paint, and how they fit into memory",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="show these alone: names of the list, folders, repositories, MODEL:FILE.gguf",
    )
    command.add_argument(
        "--gpu",
        metavar="GB[,GB...]",
        type=argument(parse_gigabytes, "memory"),
        help="free memory of every GPU, as 24 or 24,24 (in 10^9 bytes: a card sold with 24 GB has "
        "25.8, less what its screen takes), in place of this machine's",
    )
    command.add_argument(
        "--host",
        metavar="GB",
        type=argument(parse_gigabytes, "memory"),
        help="free host memory, in place of this machine's",
    )
    return command


def parse_gigabytes(text: str) -> tuple[int, ...]:
    """Bytes from "24" or "24,24" gigabytes.

    Raises:
        ValueError: if one of them is no number above 0.
    """
    sizes = []
    for part in text.split(","):
        try:
            size = float(part)
        except ValueError:
            size = 0.0
        if not 0 < size < 10**6:
            raise ValueError(f"{part!r} is not a number of gigabytes")
        sizes.append(int(size * GIGABYTE))
    return tuple(sizes)


def list_models(arguments: argparse.Namespace) -> None:
    """Run the command.

    Args:
        arguments: names, gpu, host.

    Raises:
        UserError: if something that was typed or set is at fault.
    """
    settings = Settings.from_environment(os.environ)
    specs = _specs(arguments.names)
    machine = _machine(arguments, settings)
    here = arguments.gpu is None and arguments.host is None
    print(f"Memory: {_described(machine)}\n")
    for spec in specs:
        for line in _about(spec):
            print(line)
        if here:
            from pipelines.engine import usability
            from storyboard.engine import engine_options

            print(f"    usable here: {usability(spec, engine_options(settings))}")
        for line in _memory(spec, machine, 4 if settings.dtype == "float32" else 2):
            print(f"    {line}")
        for line in _kept(spec, 4 if settings.dtype == "float32" else 2):
            print(f"    {line}")
        print()
    for line in _legend(machine):
        print(line)


def _specs(names: Sequence[str]) -> Sequence[ModelSpec]:
    try:
        return [find_model(name) for name in names] or MODELS
    except UnknownModelError as error:
        raise UsageError(str(error)) from error


def _machine(arguments: argparse.Namespace, settings: Settings) -> Machine:
    """The machine that is asked about."""
    host: tuple[int, ...] | None = arguments.host
    if host is not None and len(host) > 1:
        raise UsageError("--host: there is one host.", "Give one number.")
    if arguments.gpu is not None:
        return Machine("cuda", arguments.gpu, None if host is None else host[0])
    from pipelines.engine import machine_here
    from storyboard.engine import engine_options

    machine = machine_here(engine_options(settings))
    return machine if host is None else replace(machine, host=host[0])


def _described(machine: Machine) -> str:
    host = "" if machine.host is None else f"{_size(machine.host)} of host memory"
    if machine.kind == "mps":
        return f"{host or 'an unknown amount'} that the GPU shares"
    gpus = ", ".join(f"a GPU with {_size(gpu)}" for gpu in machine.gpus)
    found = " and ".join(filter(None, [gpus, host]))
    return f"{found or 'an unknown amount'} free" + ("" if machine.gpus else ", no CUDA GPU")


def _about(spec: ModelSpec) -> list[str]:
    lines = [f"{spec.name}  {spec.title}, {spec.width}x{spec.height}, {spec.steps} steps"]
    terms = " (non-commercial)" if spec.non_commercial else ""
    licence = f"{spec.licence}{terms}" + (f", {spec.licence_url}" if spec.licence_url else "")
    more = [spec.note, f"licence: {licence}"]
    if spec.gated:
        more.append(f"accept its terms at {spec.url}")
    return [*lines, *(f"    {line}" for line in [*more, f"reference pictures: {_following(spec)}"])]


def _following(spec: ModelSpec) -> str:
    """Whether a model can follow a picture, under which licence, in a few words."""
    subject = spec.character_adapter
    if subject is None:
        return "cannot follow any"
    words = f"followed with {subject.title}, {subject.licence}"
    if subject.licence_url:
        words += f", {subject.licence_url}"
    if subject.download_bytes:
        words += f"; {subject.download_bytes / 1e9:.0f} GB more to download"
    return words


def _memory(spec: ModelSpec, machine: Machine, itemsize: int) -> list[str]:
    """A table of the presets: what they need, what they move, and whether they fit."""
    work = Workload.of(spec, itemsize)
    if work is None:
        return ["memory: not known, as the sizes of its files are not known before the download"]
    chosen = choose(spec, machine, itemsize)
    rows = [("memory preset", "GPU" if machine.gpus else "", "host", "moves", "")]
    for found in survey(spec, machine, itemsize):
        if machine.kind in found.preset.devices:
            verdict = found.problem or "fits"
            verdict += " <- auto" if found == chosen and not found.problem else ""
            moved = _moved(found.preset, work) if machine.gpus else "-"
            rows.append((found.preset.name, *_needs(found), moved, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        f"{name:<{widths[0]}}  {gpu:>{widths[1]}}  {host:>{widths[2]}}  {moved:<{widths[3]}}  "
        f"{verdict}".rstrip()
        for name, gpu, host, moved, verdict in rows
    ]


def _kept(spec: ModelSpec, itemsize: int) -> list[str]:
    """What a storyboard keeps of a frame that lends, once it is painted."""
    from pipelines.engine import bank_bytes

    whole, packed = (bank_bytes(spec, size, _FOREGROUND) for size in (itemsize, 1))
    if whole is None or packed is None:
        return []
    return [
        f"kept of a frame that lends, {_FOREGROUND:.0%} of it the character: {_size(whole[0])}, "
        f"with its place {_size(whole[1])}",
        f"with THROUGHLINE_BANK=fp8 {_size(packed[0])} and {_size(packed[1])}; "
        "side by side nothing",
    ]


def _needs(found: Fit) -> tuple[str, str]:
    """What a preset needs of GPUs, and of the host."""
    if found.need is None:
        return "", ""
    gpus = " + ".join(map(_size, found.need.gpus))
    return gpus, _size(found.need.host) if found.need.host else "-"


def _moved(preset: MemoryPreset, work: Workload) -> str:
    """The weights that cross to the GPU, in words."""
    step, picture = preset.moved(work)
    if step:
        return f"{_size(step)} a step"
    return f"{_size(picture)} a picture" if picture else "-"


def _legend(machine: Machine) -> list[str]:
    """What the presets do and cost."""
    known = [preset for preset in MEMORY_PRESETS if machine.kind in preset.devices]
    lines = [
        "Memory presets, in the order in which auto tries them; choose one with --memory or in",
        "THROUGHLINE_MEMORY:",
    ]
    for preset in known:
        lines += [f"  {preset.name}: {preset.title}", f"    {preset.note}"]
    return lines


def _size(size: int) -> str:
    """Bytes in the unit that suits them."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
