"""Where and how to compute: devices, precision, threads and processes, through Lightning Fabric."""

import logging
import os
from typing import Any

import torch
from lightning_fabric import Fabric

from pushforward.core.errors import InputError
from pushforward.training.settings import Settings

__all__ = ["launch"]


def launch(settings: Settings) -> Fabric:
    """A launched Fabric: one process as a rule, the group of them under ``torchrun``.

    Raises:
        InputError: if a GPU is asked for, or needed for the precision, and there is none.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: got 'cuda', but torch sees no GPU; expected 'cpu' or 'auto'")
    cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    if settings.precision == "16" and not cuda:
        raise InputError("precision: got '16', which needs a GPU; expected '32', '64' or 'bf16' on a CPU")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it greets on standard error
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", str(processes)))
    precision: Any = {"32": "32-true", "64": "64-true", "bf16": "bf16-mixed", "16": "16-mixed"}[settings.precision]
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=here,
        num_nodes=max(processes // here, 1),
        # Within one phase only some parameters have gradients, which DDP must be told.
        strategy="ddp_find_unused_parameters_true" if processes > 1 else "auto",
        precision=precision,
    )
    fabric.launch()
    return fabric
