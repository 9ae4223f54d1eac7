"""Muon: orthogonalised updates for convolution kernels, AdamW for all other weights.

Keller Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. A kernel is reshaped to a
matrix (outputs, inputs x height x width), five Newton-Schulz steps bring its momentum close to the nearest
semi-orthogonal matrix, and the result is scaled by sqrt(max(1, rows / columns)). `torch.optim.Muon` supports
matrices alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from models.engine import fast_dtype

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, chosen to bring small singular values close to 1 quickly."""
NEWTON_SCHULZ_STEPS = 5
ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
EDGES = {"stem", "head", "heads"}
"""Names of parts between pixels and features, whose kernels AdamW trains."""


class Muon(torch.optim.Optimizer):
    """Muon for kernels, AdamW for everything else, as one optimiser with two groups.

    Parameters
    ----------
    kernels : iterable of Parameter
        Convolution kernels, (outputs, inputs, height, width) each.
    others : iterable of Parameter
        Parameters of any shape.
    kernel_rate, rate : float
        Learning rates of the two groups.
    weight_decay : float
        Decoupled weight decay of AdamW's group; kernels have none.
    """

    def __init__(
        self,
        kernels: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        kernel_rate: float,
        rate: float,
        weight_decay: float,
    ) -> None:
        groups = [
            {"params": list(kernels), "lr": kernel_rate, "orthogonal": True},
            {"params": list(others), "lr": rate, "orthogonal": False},
        ]
        super().__init__([group for group in groups if group["params"]], {"weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            with_gradient = [each for each in group["params"] if each.grad is not None]
            (self._step_kernels if group["orthogonal"] else self._step_others)(group, with_gradient)
        return loss

    def _step_kernels(self, group: dict[str, Any], kernels: Sequence[nn.Parameter]) -> None:
        """Update kernels of equal shape together: many small products are slow one by one."""
        by_shape = defaultdict(list)
        for kernel in kernels:
            by_shape[kernel.shape].append(kernel)
        for same in by_shape.values():
            directions = torch.stack([self._direction(kernel).flatten(1) for kernel in same])
            rows, columns = directions.shape[-2:]
            updates = orthogonalised(directions) * max(1.0, rows / columns) ** 0.5
            for kernel, update in zip(same, updates, strict=True):
                kernel.add_(update.reshape(kernel.shape).to(kernel.dtype), alpha=-group["lr"])

    def _direction(self, kernel: nn.Parameter) -> Tensor:
        """Return the gradient with Nesterov momentum."""
        assert kernel.grad is not None
        state = self.state[kernel]
        if not state:
            state["momentum"] = torch.zeros_like(kernel)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(kernel.grad, 1 - MOMENTUM)
        return kernel.grad.lerp(momentum, MOMENTUM)

    def _step_others(self, group: dict[str, Any], others: list[nn.Parameter]) -> None:
        for each in others:
            if not self.state[each]:
                self.state[each] |= {
                    "step": torch.zeros((), dtype=torch.float32),
                    "mean": torch.zeros_like(each),
                    "square": torch.zeros_like(each),
                }
        states = [self.state[each] for each in others]
        adamw(
            list[Tensor](others),
            [each.grad for each in others if each.grad is not None],
            [state["mean"] for state in states],
            [state["square"] for state in states],
            [],
            [state["step"] for state in states],
            foreach=True,
            amsgrad=False,
            beta1=ADAM_BETAS[0],
            beta2=ADAM_BETAS[1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=ADAM_EPSILON,
            maximize=False,
        )


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return semi-orthogonal approximations of matrices (N, rows, columns).

    The coefficients trade exactness for speed: singular values end up between about 0.7 and 1.2.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(_dtype(matrices.device))
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = x.mT if tall else x
    return orthogonal.to(matrices.dtype)


@cache
def _dtype(device: torch.device) -> torch.dtype:
    return fast_dtype(device)


def split_kernels(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the kernels that Muon trains, and all other parameters of a network.

    Depthwise kernels do not mix channels, so there is nothing to orthogonalise; transposed ones have swapped
    dimensions; those of stem and heads connect pixels and features.
    """
    kernels = {
        part.weight
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d) and part.groups == 1 and not EDGES & set(name.split("."))
    }
    parameters = list(network.parameters())
    return [each for each in parameters if each in kernels], [
        each for each in parameters if each not in kernels
    ]
