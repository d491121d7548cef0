"""Workers of a Ray cluster: processes, on this machine or others, that paint orders.

Ray is imported when workers are wanted, not before, and nothing else needs it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pipelines.errors import UserError
from storyboard.jobs.ray.worker import BankWeighed, MakeEngine, Order, Painted, Painter
from storyboard.settings import Settings, Workers

RAY = "ray==2.60.0"
_QUIETLY = {"logging_level": "error", "log_to_driver": False}
# How long a worker may take to remove what it keeps on the disk.
_PARTING_SECONDS = 5.0


class WorkerLost(Exception):
    """A worker's process died, or its machine was lost."""


class BankLost(Exception):
    """A bank that was lent is no more: the machine that had it was lost."""


@dataclass(frozen=True)
class BankSent:
    """A bank is on its way, or can be, to whom it is lent.

    Attributes:
        frame_id: the frame that left it.
        bank: stands for it in an `Order`.
    """

    frame_id: str
    bank: object


@dataclass(frozen=True)
class Machine:
    """What a machine of the cluster has.

    Attributes:
        cores: CPU cores.
        gpus: GPUs.
    """

    cores: int
    gpus: int


@dataclass(frozen=True)
class Staff:
    """How many workers there are, and what each has for itself.

    Attributes:
        count: workers.
        cores: CPU cores of each, and as many threads.
        gpus: GPUs of each: 1 or 0.
    """

    count: int
    cores: int
    gpus: int


def plan_staff(count: int | None, device: str | None, machines: Sequence[Machine]) -> Staff:
    """Share a cluster's GPUs, or else its cores, between workers.

    Args:
        count: how many workers are wanted; None for one on every GPU, or on every machine where
            there is no GPU.
        device: what `THROUGHLINE_DEVICE` says; with "cpu" GPUs are left alone.
        machines: the cluster.

    Raises:
        UserError: if there are fewer GPUs, or cores, than workers.
    """
    gpus = sum(machine.gpus for machine in machines)
    wants_gpu = device is None or device.startswith("cuda")
    if device is not None and wants_gpu and not gpus:
        raise UserError(
            f"THROUGHLINE_DEVICE is {device!r}, and Ray knows of no GPU.",
            "Leave THROUGHLINE_DEVICE out, or start Ray where a GPU is.",
        )
    on_gpu = wants_gpu and gpus > 0
    count = count or (gpus if on_gpu else len(machines))

    def room(cores: int) -> int:
        """How many workers with so many cores each there is room for."""
        return sum(min(m.cores // cores, m.gpus if on_gpu else m.cores // cores) for m in machines)

    if room(1) < count:
        what = "GPUs" if on_gpu else "cores"
        raise UserError(
            f"THROUGHLINE_WORKERS asks for {count} workers, and Ray has room for {room(1)}: each "
            f"needs one of the {what} for itself.",
            "Ask for fewer, or for auto.",
        )
    most = max(machine.cores for machine in machines)
    return Staff(count, next(c for c in range(most, 0, -1) if room(c) >= count), int(on_gpu))


class Worker:
    """One worker; its process is started by `start`, again where it died.

    Args:
        ray: the module.
        staff: what it has for itself.
        make_engine: makes what paints in it.
        settings: for that.
        scratch: a folder for its files; None where it may be on another machine.
    """

    def __init__(
        self,
        ray: ModuleType,
        staff: Staff,
        make_engine: MakeEngine,
        settings: Settings,
        scratch: Path | None,
    ) -> None:
        self._ray = ray
        self._staff = staff
        self._make_engine = make_engine
        self._scratch = scratch
        # A worker sees its own GPU alone, whichever of the machine's that is.
        device = "cuda" if staff.gpus else settings.device
        self._settings = replace(settings, device=device)
        # Ray's types do not follow a class whose module is imported without Ray.
        self._actor: Any = None
        errors = ray.exceptions
        self._losses: tuple[type[Exception], ...] = (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.ObjectLostError,  # what it had told before it died
        )

    def start(self) -> None:
        """Start its process, and wait until it answers.

        Raises:
            WorkerLost: if it dies meanwhile.
        """
        self.close()
        remote: Any = self._ray.remote(Painter)
        options = remote.options(
            num_cpus=self._staff.cores,
            num_gpus=self._staff.gpus,
            # One thread paints, one may be about to, and one hears that they shall stop.
            max_concurrency=3,
        )
        self._actor = options.remote(
            self._make_engine, self._settings, self._ray.get, self._scratch
        )
        try:
            self._ray.get(self._actor.ready.remote())
        except self._losses as error:
            raise WorkerLost(str(error)) from error

    def paint(self, order: Order) -> Generator[Painted | BankSent, None, None]:
        """Paint an order; see `Painter.paint`. Closing the generator stops it.

        Raises:
            UserError: what the worker says to a person.
            WorkerLost: if it dies meanwhile.
            BankLost: if a bank that the order is lent is gone.
        """
        errors = self._ray.exceptions
        through = False
        try:
            references = self._actor.paint.options(num_returns="streaming").remote(order)
            for reference in references:
                event = self._ray.get(reference)
                if isinstance(event, UserError):
                    raise event
                yield event
                if isinstance(event, BankWeighed) and event.sent:
                    # Stays where it is until a worker fetches it.
                    yield BankSent(event.frame_id, next(references))
            self._ray.get(references.completed())
            through = True
        except errors.RayTaskError as error:
            if isinstance(error.cause, self._losses):  # which befell whom it is lent from
                raise BankLost(str(error)) from error
            raise error.cause from error
        except self._losses as error:
            raise WorkerLost(str(error)) from error
        finally:
            if not through:
                self.stop(order.id)

    def stop(self, order_id: str) -> None:
        """Have it stop an order within one denoising step; does not wait for that."""
        if self._actor is not None:
            self._actor.stop.remote(order_id)

    def close(self) -> None:
        """End its process."""
        actor, self._actor = self._actor, None
        if actor is not None:
            with contextlib.suppress(*self._losses, self._ray.exceptions.GetTimeoutError):
                self._ray.get(actor.close.remote(), timeout=_PARTING_SECONDS)
            self._ray.kill(actor)


class Cluster:
    """A connection to Ray: to one that runs, or to one that is started on this machine.

    Where this process is connected already, that connection is used and left open.

    Args:
        workers: which Ray, and how many workers it shall have.
        settings: on which device they paint.

    Raises:
        UserError: if Ray is not installed, cannot be reached, or has no room for the workers.
    """

    def __init__(self, workers: Workers, settings: Settings) -> None:
        self._ray = _import_ray()
        self._settings = settings
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._open(workers)
        # Of its own, so that nothing is left of workers that were killed; elsewhere it may not be.
        self._scratch = (
            None if workers.address else tempfile.TemporaryDirectory(prefix="throughline-")
        )
        machines = [
            Machine(int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
            for node in self._ray.nodes()
            if node["Alive"]
        ]
        try:
            self.staff = plan_staff(workers.count, settings.device, machines)
        except UserError:
            self.close()
            raise

    def workers(self, make_engine: MakeEngine) -> list[Worker]:
        """The workers, not started yet."""
        scratch = Path(self._scratch.name) if self._scratch else None
        return [
            Worker(self._ray, self.staff, make_engine, self._settings, scratch)
            for _ in range(self.staff.count)
        ]

    def close(self) -> None:
        """Leave the cluster; the Ray that was started for this ends."""
        if self._ours:
            self._ray.shutdown()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _open(self, workers: Workers) -> None:
        # Nothing is told to Ray's makers, and a worker without a GPU leaves the GPUs alone.
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
                    _node_ip_address="127.0.0.1",  # nobody else on the network reaches it
                    **_QUIETLY,
                )
            # Ray imports pydantic.v1 when it first serializes, and so does a web page that is being
            # made; where two threads do it at once, one of them fails.
            self._ray.put(None)
        except (OSError, RuntimeError, ValueError) as error:
            where = f"at {workers.address}" if workers.address else "on this machine"
            raise UserError(
                f"Ray does not answer {where}: {error}", "Check THROUGHLINE_WORKERS."
            ) from error


def _import_ray() -> ModuleType:
    # It would start a cluster of its own accord where a call comes after the end.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UserError(
            "THROUGHLINE_WORKERS is set, and Ray, which runs workers, is not installed.",
            f"Install it with: pip install {RAY}. Or leave THROUGHLINE_WORKERS out, to paint in "
            "one process.",
        ) from error
    return ray
