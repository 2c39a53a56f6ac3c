"""``pushforward denoise``: examples as a run thinks they were without noise."""

import dataclasses
from pathlib import Path

from pushforward.cli.examples import busy, check_new, new_folder_for, read_named, said_changed, write_named
from pushforward.cli.place import open_run

__all__ = ["denoise_command"]


@dataclasses.dataclass(kw_only=True)
class Denoise:
    """What ``denoise`` takes besides the run."""

    data: str  # The noisy examples: a folder of pictures, or a file.
    out: Path  # A new folder for the clean ones.
    deviation: float | None = None  # Of the noise in units of the data, for a gaussian, mixture or ppca.
    draws: int = 64  # Codes of a VAE to average over.
    seed: int = 0  # Of these draws.
    trust: tuple[str, ...] = ()  # Classes of models from outside that may be imported, as module:Class.
    device: str = "cpu"  # Where to compute: cpu or cuda.
    threads: int = 0  # CPU threads; 0 takes as many as torch does.


def denoise_command(rest: list[str]) -> int:
    """Write examples without their noise into a folder; prints what was written.

    Raises:
        InputError: if an argument cannot be used.
    """
    run, given, _ = open_run(rest, Denoise, verb="denoise", description="Take noise off examples with a run.")
    from pushforward.uses.denoising import denoise

    check_new(given.out)
    x, names, changed = read_named([given.data], run.example)
    with busy(f"taking the noise off {len(x):,} examples"):
        clean = denoise(run.model, x, deviation=given.deviation, draws=given.draws, seed=given.seed)
    new_folder_for(given.out)
    for line in [write_named(run.example, clean, names, given.out), *said_changed(changed, run.example)]:
        print(line)
    return 0
