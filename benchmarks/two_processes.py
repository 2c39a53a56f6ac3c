"""Train with two processes under torchrun and with one, on the same global batches, and compare the weights.

    python benchmarks/two_processes.py [--models vae gan]

In float64, 20 steps on the digits, dropout 0, a tenth of the conditions hidden. The gradient of a batch is the mean of
those of its halves, so the weights differ by rounding alone: the largest difference, relative to the largest weight of
the same tensor, must be at most 1e-8. One line per model and variant is printed; the exit status is 1 if one is beyond.
Models that say ``couples_batch`` are exempt: their loss is not a mean over examples.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

#: Rounding errors of doubles, 1e-16, through 20 steps of Adam, which divides small gradients by their own size.
TOLERANCE = 1e-8

STEPS = 20

#: Fields whose choices change what has to agree between processes.
VARIANTS = {"regularize": ("r1", "spectral"), "quantizer": ("codebook", "residual", "fsq"), "adversarial": (1.0,)}


def work(model: str, options: str, out: str) -> None:
    """Fit in this process, or in this one of several."""
    from pushforward.run.verbs import fit
    from pushforward.training.settings import Settings

    settings = Settings(
        threads=1, device="cpu", precision="64", batch_size=64, steps=STEPS, validate_every=STEPS, drop_condition=0.1
    )
    fit(model, "digits", out=out, settings=settings, options=json.loads(options))


def fitted(model: str, options: dict[str, Any], folder: Path, processes: int) -> dict[str, Any]:
    """Every tensor of the last checkpoint of a run with so many processes."""
    from pushforward.core.files import read_tensors

    out = folder / str(processes)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [sys.executable, *launcher, __file__, "--work", model, json.dumps(options), str(out)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{model} with {processes} process(es):\n{done.stderr[-3000:]}")
    return read_tensors(out / "checkpoint" / "state.safetensors")[0]


def difference(one: dict[str, Any], two: dict[str, Any]) -> float:
    """The largest difference of two checkpoints, each tensor relative to its largest entry."""
    largest = 0.0
    weights = [name for name in one if name.startswith(("model.", "average.", "best."))]
    if {name for name in two if name.startswith(("model.", "average.", "best."))} != set(weights):
        return float("inf")
    for name in weights:
        a, b = one[name].double(), two[name].double()
        if a.numel():
            largest = max(largest, float((a - b).abs().max() / a.abs().max().clamp(min=1e-300)))
    return largest


def variants(model: str) -> list[dict[str, Any]]:
    """The choices of fields to try: as it is, or each of those that matter between processes."""
    from pushforward.zoo import find

    cls: Any = find(model)
    names = {field.name for field in dataclasses.fields(cls)}
    fixed = {"dropout": 0.0} if "dropout" in names else {}
    chosen = [{field: value} for field, values in VARIANTS.items() if field in names for value in values]
    return [fixed | choice for choice in chosen or [{}]]


def test(model: str) -> bool:
    """Compare one process and two for every variant of a model, print a line each, and say whether all agree."""
    from pushforward.datasets.load import load_data
    from pushforward.zoo import create

    agree, digits = True, load_data("digits")
    for options in variants(model):
        if create(model, digits, options).couples_batch:
            print(f"{model:<10} is exempt: its loss couples the examples of a batch")
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = difference(*(fitted(model, options, Path(folder), processes) for processes in (1, 2)))
        said = ", ".join(f"{name} {value}" for name, value in options.items())
        print(f"{model:<10} {said:<20} largest relative difference {found:.1e}", flush=True)
        agree &= found <= TOLERANCE
    return agree


def main() -> int:
    """Test every model that was asked for; 0 if all agree."""
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", help="names; all learned models if left out")
    given = parser.parse_args()
    return 0 if all([test(model) for model in given.models or learned()]) else 1


def learned() -> list[str]:
    """The models that are trained step by step."""
    from pushforward.datasets.load import load_data
    from pushforward.zoo import create, models

    digits = load_data("digits")
    return [m.name for m in models() if any(stage.phases for stage in create(m.name, digits).stages())]


if __name__ == "__main__":
    sys.exit(main())
