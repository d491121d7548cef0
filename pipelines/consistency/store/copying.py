"""Copies of a bank's tensors between the device that computes them and other memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Fetched:
    """Copies on the device that may still be under way.

    Attributes:
        tensors: the copies; not to be touched before a copier's `wait`.
        done: passed when they are there; None if they are there already.
    """

    tensors: tuple[Tensor, ...]
    done: torch.cuda.Event | None = None


class Copier:
    """Copies to and from one device, at once; tensors that are there already are not copied."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def save(self, source: Tensor, target: Tensor) -> None:
        """Begin to copy a tensor of the device to host memory."""
        target.copy_(source)

    def fetch(self, sources: Sequence[Tensor]) -> Fetched:
        """Begin to copy tensors in host memory, once what is being saved there has arrived."""
        return Fetched(tuple(source.to(self._device) for source in sources))

    def wait(self, fetched: Fetched) -> tuple[Tensor, ...]:
        """Return the copies, ready for all later computations on the device."""
        return fetched.tensors

    def settle(self) -> None:
        """Return when nothing is under way, so that the host may read what was saved."""


class StreamCopier(Copier):
    """Copies on a stream of its own, beside a CUDA device's computations.

    All copies go through the one stream, so that those from and to the same bytes keep their order.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._stream = torch.cuda.Stream(device)

    def save(self, source: Tensor, target: Tensor) -> None:
        if source.device.type == "cpu":
            self.settle()
            target.copy_(source)
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
        source.record_stream(self._stream)

    def fetch(self, sources: Sequence[Tensor]) -> Fetched:
        with torch.cuda.stream(self._stream):
            tensors = tuple(source.to(self._device, non_blocking=True) for source in sources)
            return Fetched(tensors, self._stream.record_event())

    def wait(self, fetched: Fetched) -> tuple[Tensor, ...]:
        computing = torch.cuda.current_stream(self._device)
        if fetched.done is not None:
            computing.wait_event(fetched.done)
        for tensor in fetched.tensors:
            tensor.record_stream(computing)
        return fetched.tensors

    def settle(self) -> None:
        self._stream.synchronize()


def copier_for(device: torch.device) -> Copier:
    """Make the copier for a device."""
    return StreamCopier(device) if device.type == "cuda" else Copier(device)
