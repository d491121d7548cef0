"""Training in bfloat16 with weights kept in float32 beside it, by one process or several together.

Knows nothing of losses and data: it takes gradients from a module and gives it new weights.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


class MasterWeights:
    """A module that computes in bfloat16, and what its weights are in truth.

    Args:
        module: what is trained, in float32; it becomes bfloat16 where it is.
        is_matrix: says from its name and value whether a parameter is Muon's; AdamW has the rest.
        muon_rate, adam_rate: the full learning rates.
        world_size: processes that train together, each with its share of the batch.
        beside: what is trained along, computes in float32 and is not averaged; AdamW has it.
    """

    def __init__(
        self,
        module: nn.Module,
        is_matrix: Callable[[str, Tensor], bool],
        muon_rate: float,
        adam_rate: float,
        world_size: int = 1,
        beside: nn.Module | None = None,
    ) -> None:
        self.module = module
        self._beside = [] if beside is None else list(beside.parameters())
        self._world_size = world_size
        self._rates = (muon_rate, adam_rate)
        self.weights = {
            name: parameter.detach().float().clone().requires_grad_()
            for name, parameter in module.named_parameters()
        }
        self.average = {name: weight.detach().clone() for name, weight in self.weights.items()}
        matrices = {n for n, w in self.weights.items() if w.ndim == 2 and is_matrix(n, w)}
        others = [weight for name, weight in self.weights.items() if name not in matrices]
        self._optimizers = (
            torch.optim.Muon(
                [weight for name, weight in self.weights.items() if name in matrices],
                lr=muon_rate,
                weight_decay=0.01,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                [*self._beside, *others], lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0
            ),
        )
        module.to(torch.bfloat16)

    def update(self, factor: float, decay: float) -> None:
        """Take a step from the gradients of the module, and clear them.

        Args:
            factor: of the learning rates.
            decay: the average's memory.
        """
        self._gather_gradients()
        for optimizer, rate in zip(self._optimizers, self._rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = factor * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        weights = [weight.detach() for weight in self.weights.values()]
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)
        self._publish(self.weights)

    def _gather_gradients(self) -> None:
        """Average gradients over processes, clip them, and give them to the float32 weights."""
        parameters = dict(self.module.named_parameters())
        pairs = [(weight, parameters[name]) for name, weight in self.weights.items()]
        pairs += [(weight, weight) for weight in self._beside]
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
    def _publish(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.module.named_parameters():
            parameter.copy_(values[name])

    @torch.no_grad()
    def copy_average_to(self, module: nn.Module) -> None:
        """Give another module of the same parts the averaged weights, in its own type."""
        for name, parameter in module.named_parameters():
            parameter.copy_(self.average[name])

    def state_dict(self) -> dict[str, Any]:
        """All that going on exactly takes."""
        return {
            "weights": {name: weight.detach() for name, weight in self.weights.items()},
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state_dict["weights"][name])
                self.average[name].copy_(state_dict["average"][name])
        for optimizer, state in zip(self._optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self._publish(self.weights)


@contextmanager
def quick_attention(device: torch.device) -> Iterator[None]:
    """Attention in plain bfloat16 products on a CPU, where the fused kernel's backward is slow.

    At the miniature's sizes that takes half the time; elsewhere nothing changes.
    """
    if device.type != "cpu":
        yield
        return
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)
