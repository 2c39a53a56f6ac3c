"""Small pieces that several tests share."""

import torch
from torch import Tensor

from pushforward.core.data import Batch, Condition
from pushforward.core.model import Model
from pushforward.core.noise import Noise


def train(
    model: Model,
    x: Tensor,
    *,
    steps: int,
    batch: int = 256,
    lr: float | None = None,
    seed: int = 0,
    condition: Tensor | None = None,
    decay: bool = True,
) -> Model:
    """Fit a model to storage examples with the plainest loop there is: for oracles, apart from the real loop."""
    present = None if condition is None else torch.ones(len(x), dtype=torch.bool)
    for stage in model.stages():
        if stage.solve is not None:
            y, _ = model.fitted.encode(x, noise=Noise(seed, 10**9, rows=len(x)), dtype=model.dtype)
            whole = Batch(y, None if condition is None else Condition(condition, present))
            list(stage.solve(whole, whole, noise=Noise(seed, 10**9 + 1, rows=len(x))))
            continue
        optimisers = [
            torch.optim.AdamW(p.parameters, lr=lr or p.lr, betas=p.betas, weight_decay=p.weight_decay)
            for p in stage.phases
        ]
        order = torch.Generator().manual_seed(seed)
        for step in range(steps):
            model.progress = step / steps
            for index, (phase, optimiser) in enumerate(zip(stage.phases, optimisers, strict=True)):
                if decay:
                    peak = lr or phase.lr
                    optimiser.param_groups[0]["lr"] = peak * min(1.0, 3 * (1 - step / steps))
                for repeat in range(phase.repeats):
                    rows = torch.randint(len(x), (batch,), generator=order)
                    noise = Noise(seed, (step * 16 + index) * 16 + repeat, rows=batch)
                    y, _ = model.fitted.encode(x[rows], noise=noise, dtype=model.dtype)
                    given = None if condition is None else Condition(condition[rows], present[rows])
                    loss = torch.stack(list(phase.terms(y, given, noise=noise).values())).sum(0).mean()
                    optimiser.zero_grad()
                    loss.backward(inputs=list(phase.parameters))
                    optimiser.step()
            model.after_step()
    return model.eval()
