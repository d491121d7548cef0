"""Connection to a Ray cluster, and handles of the workers that it runs on this machine or others.

`storyboard.jobs.ray.worker` runs in their processes. Ray is imported when a cluster is opened, and
nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pipelines.errors import UserError
from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability
from storyboard.jobs.ray.worker import Assignment, BankReady, MakeEngine, Worker, WorkerEvent
from storyboard.settings import Settings, Workers

RAY = "ray==2.60.0"
_QUIETLY = {"logging_level": "error", "log_to_driver": False}
# Limit for a worker to remove its temporary files.
_CLOSE_SECONDS = 5.0
# Limit for a worker to answer a question; the first time, it imports torch.
_ANSWER_SECONDS = 60.0


class WorkerLost(Exception):
    """A worker's process died, or its machine was lost."""


class BankLost(Exception):
    """A bank for an assignment is gone: the machine that had it was lost."""


@dataclass(frozen=True)
class BankSent:
    """A frame's bank can be fetched by other workers, by this handle in an `Assignment`."""

    frame_id: str
    bank: object


@dataclass(frozen=True)
class Node:
    """Machine of the cluster, with its CPU cores and GPUs."""

    cores: int
    gpus: int


@dataclass(frozen=True)
class Allocation:
    """Number of workers; CPU cores (as many as threads) and GPUs (1 or 0) of each."""

    count: int
    cores: int
    gpus: int


def allocate(count: int | None, device: str | None, nodes: Sequence[Node]) -> Allocation:
    """Share a cluster's GPUs, or else its cores, between workers.

    Args:
        count: number of workers; None for one on every GPU, or on every machine where there is no
            GPU.
        device: the value of `THROUGHLINE_DEVICE`; with "cpu" GPUs are not used.
        nodes: the cluster.

    Raises:
        UserError: if there are fewer GPUs, or cores, than workers.
    """
    gpus = sum(node.gpus for node in nodes)
    wants_gpu = device is None or device.startswith("cuda")
    if device is not None and wants_gpu and not gpus:
        raise UserError(
            f"THROUGHLINE_DEVICE is {device!r}, and Ray knows of no GPU.",
            "Leave THROUGHLINE_DEVICE out, or start Ray where a GPU is.",
        )
    on_gpu = wants_gpu and gpus > 0
    count = count or (gpus if on_gpu else len(nodes))

    def room(cores: int) -> int:
        """Return for how many workers with so many cores each there is room."""
        return sum(min(n.cores // cores, n.gpus if on_gpu else n.cores // cores) for n in nodes)

    if room(1) < count:
        what = "GPUs" if on_gpu else "cores"
        raise UserError(
            f"THROUGHLINE_WORKERS asks for {count} workers, and Ray has room for {room(1)}: each "
            f"needs one of the {what} for itself.",
            "Ask for fewer, or for auto.",
        )
    most = max(node.cores for node in nodes)
    return Allocation(count, next(c for c in range(most, 0, -1) if room(c) >= count), int(on_gpu))


class RemoteWorker:
    """Handle of a `Worker` in another process, which `start` starts, again where it died.

    Args:
        ray: the module.
        allocation: the worker's resources.
        make_engine: makes the worker's engine from the settings.
        scratch: folder for temporary files; None where the worker may be on another machine.
    """

    def __init__(
        self,
        ray: ModuleType,
        allocation: Allocation,
        make_engine: MakeEngine,
        settings: Settings,
        scratch: Path | None,
    ) -> None:
        self._ray = ray
        self._allocation = allocation
        self._make_engine = make_engine
        self._scratch = scratch
        # A worker sees its own GPU alone, whichever of the machine's that is.
        device = "cuda" if allocation.gpus else settings.device
        self._settings = replace(settings, device=device)
        # Ray's types do not follow a class whose module is imported without Ray.
        self._actor: Any = None
        errors = ray.exceptions
        self._losses: tuple[type[Exception], ...] = (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.ObjectLostError,  # an event that it had sent before it died
        )

    def start(self) -> None:
        """Start the process, and wait until it answers.

        Raises:
            WorkerLost: if it dies meanwhile.
        """
        self.close()
        remote: Any = self._ray.remote(Worker)
        options = remote.options(
            num_cpus=self._allocation.cores,
            num_gpus=self._allocation.gpus,
            # For a thread that renders, one that waits for it, one that stops them, and one that
            # answers a question.
            max_concurrency=4,
        )
        self._actor = options.remote(
            self._make_engine, self._settings, self._ray.get, self._scratch
        )
        try:
            self._ray.get(self._actor.ready.remote())
        except self._losses as error:
            raise WorkerLost(str(error)) from error

    def render(self, assignment: Assignment) -> Generator[WorkerEvent | BankSent, None, None]:
        """Render an assignment; see `Worker.render`. Closing the generator stops it.

        Raises:
            UserError: as the worker yields it.
            WorkerLost: if the process dies meanwhile.
            BankLost: if a received bank of the assignment is gone.
        """
        errors = self._ray.exceptions
        complete = False
        try:
            references = self._actor.render.options(num_returns="streaming").remote(assignment)
            for reference in references:
                event = self._ray.get(reference)
                if isinstance(event, UserError):
                    raise event
                yield event
                if isinstance(event, BankReady) and event.sent:
                    # The bank stays in the worker's memory until another worker fetches it.
                    yield BankSent(event.frame_id, next(references))
            self._ray.get(references.completed())
            complete = True
        except errors.RayTaskError as error:
            if isinstance(error.cause, self._losses):  # of the worker that sent it
                raise BankLost(str(error)) from error
            raise error.cause from error
        except self._losses as error:
            raise WorkerLost(str(error)) from error
        finally:
            if not complete:
                self.stop(assignment.id)

    def usability(self, spec: ModelSpec) -> Usability | None:
        """Find out whether a model can render there; None where the worker does not answer."""
        actor = self._actor
        if actor is None:
            return None
        try:
            answer: Usability = self._ray.get(actor.usability.remote(spec), timeout=_ANSWER_SECONDS)
        except (*self._losses, self._ray.exceptions.GetTimeoutError):
            return None
        return answer

    def stop(self, assignment_id: str) -> None:
        """Stop an assignment within one denoising step; do not wait for that."""
        if self._actor is not None:
            self._actor.stop.remote(assignment_id)

    def close(self) -> None:
        """End the process."""
        actor, self._actor = self._actor, None
        if actor is not None:
            with contextlib.suppress(*self._losses, self._ray.exceptions.GetTimeoutError):
                self._ray.get(actor.close.remote(), timeout=_CLOSE_SECONDS)
            self._ray.kill(actor)


def joint_usability(answers: Sequence[Usability]) -> Usability:
    """Return the answers of several workers as one; a model is usable where all can render it.

    The words are those of one worker that cannot, and of one that can.
    """
    if not answers:
        return Usability(True, "The workers decide whether it runs, and none of them answers now.")
    words = []
    for usable in (False, True):
        alike = [answer.words for answer in answers if answer.usable == usable]
        who = "the" if len(alike) == len(answers) else f"{len(alike)} of {len(answers)}"
        words += [alike[0].replace(" here", f" on {who} workers", 1)] if alike else []
    return Usability(all(answer.usable for answer in answers), " ".join(words))


class Cluster:
    """Connection to a Ray cluster that runs, or to one that is started on this machine.

    Where this process is connected already, that connection is used and left open.

    Args:
        workers: the cluster's address, and the number of workers.
        settings: settings of the workers' engines, with their device.

    Raises:
        UserError: if Ray is not installed, cannot be reached, or has no room for the workers.
    """

    def __init__(self, workers: Workers, settings: Settings) -> None:
        if workers.address is None:
            _keep_to_this_machine()
        self._ray = _import_ray()
        self._settings = settings
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._open(workers)
        # Workers that are killed leave files: here they are removed with this folder.
        self._scratch = (
            None if workers.address else tempfile.TemporaryDirectory(prefix="throughline-")
        )
        nodes = [
            Node(int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
            for node in self._ray.nodes()
            if node["Alive"]
        ]
        try:
            self.allocation = allocate(workers.count, settings.device, nodes)
        except UserError:
            self.close()
            raise

    def workers(self, make_engine: MakeEngine) -> list[RemoteWorker]:
        """Return the workers, not started yet."""
        scratch = Path(self._scratch.name) if self._scratch else None
        return [
            RemoteWorker(self._ray, self.allocation, make_engine, self._settings, scratch)
            for _ in range(self.allocation.count)
        ]

    def close(self) -> None:
        """Leave the cluster; a Ray that was started for it ends."""
        if self._ours:
            self._ray.shutdown()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _open(self, workers: Workers) -> None:
        # No statistics go to Ray's makers, and a worker without a GPU leaves the GPUs alone.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
        try:
            if workers.address is not None:
                self._ray.init(address=workers.address, **_QUIETLY)
            else:
                self._ray.init(
                    address="local",
                    num_cpus=max(os.cpu_count() or 1, workers.count or 1),
                    include_dashboard=False,
                    _node_ip_address="127.0.0.1",  # not reachable from the network
                    **_QUIETLY,
                )
            # Ray imports pydantic.v1 when it first serializes, as Gradio does when it makes a page;
            # where two threads do so at once, one of them fails.
            self._ray.put(None)
        except (OSError, RuntimeError, ValueError) as error:
            where = f"at {workers.address}" if workers.address else "on this machine"
            raise UserError(
                f"Ray does not answer {where}: {error}", "Check THROUGHLINE_WORKERS."
            ) from error


def _keep_to_this_machine() -> None:
    """Let a Ray that is started here listen to this machine alone, and to those who know a token.

    Whoever reaches a Ray without one can run code in it, and every process of this machine does.
    Ray reads this when it is imported, and its processes inherit it; a token that is given stays.
    """
    # Ray takes the network's address for the loopback one, unless it knows that there is no cluster
    # of several machines, as usual on Windows and macOS.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _import_ray() -> ModuleType:
    # Otherwise a call after the end would start a new cluster.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UserError(
            "THROUGHLINE_WORKERS is set, and Ray, which runs workers, is not installed.",
            f"Install it with: pip install {RAY}. Or leave THROUGHLINE_WORKERS out, to "
            "render in one process.",
        ) from error
    return ray
