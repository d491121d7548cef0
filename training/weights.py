"""Trained weights with their optimizers and their moving average.

Knows nothing of losses and data: it takes gradients and changes weights.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class TrainedWeights:
    """Tensors in training, the optimizers that change them, and their moving average.

    Args:
        values: the tensors by name, where they are used: a module's `state_dict`.
        optimizers: optimizers of these tensors, with the full learning rates in their groups.
        clipped: parameters whose gradients are clipped to a norm of 1 together.
        averaged: keep averages of the floating-point values.

    Attributes:
        values: the tensors by name.
        average: their moving averages, by name.
    """

    def __init__(
        self,
        values: Mapping[str, Tensor],
        optimizers: Sequence[torch.optim.Optimizer],
        clipped: Iterable[nn.Parameter] = (),
        *,
        averaged: bool = True,
    ) -> None:
        self.values = dict(values)
        self.average = {
            name: value.detach().clone()
            for name, value in values.items()
            if averaged and value.is_floating_point()
        }
        self._optimizers, self._clipped = optimizers, list(clipped)
        self._rates = [[group["lr"] for group in o.param_groups] for o in optimizers]

    @torch.no_grad()
    def update(self, factor: float, decay: float) -> None:
        """Take a step from the gradients, and clear them.

        Args:
            factor: factor of the full learning rates.
            decay: weight of the old average in the new one.
        """
        nn.utils.clip_grad_norm_(self._clipped, 1.0)
        for optimizer, rates in zip(self._optimizers, self._rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = factor * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.average:
            values = [self.values[name] for name in self.average]
            torch._foreach_lerp_(list(self.average.values()), values, 1 - decay)

    @torch.no_grad()
    def copy_average_to(self, module: nn.Module) -> None:
        """Copy the averages into a module with the same parts, in its own type."""
        state = module.state_dict()
        for name, value in self.average.items():
            state[name].copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that an exact continuation needs."""
        return {
            "values": {name: value.detach() for name, value in self.values.items()},
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state."""
        for known, saved in ((self.values, "values"), (self.average, "average")):
            for name, value in known.items():
                value.copy_(state_dict[saved][name])
        for optimizer, state in zip(self._optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(state)


class MasterWeights(TrainedWeights):
    """Float32 weights of a module that computes in bfloat16.

    Args:
        module: the module, in float32; it becomes bfloat16 in place.
        is_matrix: returns from its name and value whether Muon trains a parameter; AdamW trains
            the others.
        muon_rate, adam_rate: the full learning rates.
        world_size: number of processes that train together, each with its share of the batch.
        head: module that is trained with it, computes in float32 and is not averaged; AdamW trains
            it.
    """

    def __init__(
        self,
        module: nn.Module,
        is_matrix: Callable[[str, Tensor], bool],
        muon_rate: float,
        adam_rate: float,
        world_size: int = 1,
        head: nn.Module | None = None,
    ) -> None:
        self.module = module
        self._head = [] if head is None else list(head.parameters())
        self._world_size = world_size
        weights = {
            name: parameter.detach().float().clone().requires_grad_()
            for name, parameter in module.named_parameters()
        }
        matrices = {n for n, w in weights.items() if w.ndim == 2 and is_matrix(n, w)}
        others = [weight for name, weight in weights.items() if name not in matrices]
        muon = torch.optim.Muon(
            [weight for name, weight in weights.items() if name in matrices],
            lr=muon_rate,
            weight_decay=0.01,
            momentum=0.95,
            adjust_lr_fn="match_rms_adamw",
        )
        adam = torch.optim.AdamW(
            [*self._head, *others], lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0
        )
        super().__init__(weights, (muon, adam))
        module.to(torch.bfloat16)

    def update(self, factor: float, decay: float) -> None:
        """Take a step from the gradients of the module, and clear them."""
        self._gather_gradients()
        super().update(factor, decay)
        self._publish()

    def _gather_gradients(self) -> None:
        """Average gradients over processes, clip them, and give them to the float32 weights."""
        parameters = dict(self.module.named_parameters())
        pairs = [(weight, parameters[name]) for name, weight in self.values.items()]
        pairs += [(weight, weight) for weight in self._head]
        flat = torch.cat(
            [
                torch.zeros_like(weight).flatten()
                if twin.grad is None
                else twin.grad.float().flatten()
                for weight, twin in pairs
            ]
        )
        if self._world_size > 1:
            dist.all_reduce(flat)
            flat /= self._world_size
        flat /= flat.norm().clamp(min=1.0)
        sizes = [weight.numel() for weight, _ in pairs]
        for (weight, twin), gradient in zip(pairs, flat.split(sizes), strict=True):
            twin.grad = None
            weight.grad = gradient.view_as(weight)

    @torch.no_grad()
    def _publish(self) -> None:
        for name, parameter in self.module.named_parameters():
            parameter.copy_(self.values[name])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state."""
        super().load_state_dict(state_dict)
        self._publish()
