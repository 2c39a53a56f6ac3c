"""Kill a run at twenty random moments, take it up each time, and compare its end with that of a run left in peace.

    python benchmarks/kill_test.py [--models vae gpt] [--kills 20]

Every learned model is fitted to the digits with one thread, in a process of its own that dies by SIGKILL: during its
start, between two checkpoints, and inside the write of a checkpoint (the parent sees the unfinished file appear, and
finds it left behind). Raw, averaged and best weights, the saved model and the metrics must then be those of the run that
was never disturbed, byte for byte. One line per model is printed; the exit status is 1 if one differs.
"""

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from safetensors import safe_open

#: Steps of every run and between its checkpoints: short runs with many checkpoints, so that twenty kills fit in.
STEPS, EVERY = 60, 2

#: Processes start with everything imported already: what a run does, and not Python's imports, is to be killed.
WORKERS = multiprocessing.get_context("forkserver")
WORKERS.set_forkserver_preload(["pushforward.run.verbs", "pushforward.zoo"])


def work(model: str, out: Path) -> None:
    """Begin the run, or go on with it if it is there."""
    from pushforward.run.verbs import fit, resume
    from pushforward.training.settings import Settings

    if out.exists():
        resume(out, trust=[model])
    else:
        settings = Settings(threads=1, device="cpu", steps=STEPS, validate_every=EVERY, batch_size=64)
        fit(model, "digits", out=out, settings=settings)


def start(model: str, out: Path) -> BaseProcess:
    """A process that works on the run."""
    process = WORKERS.Process(target=work, args=(model, out))
    process.start()
    return process


def lines(out: Path) -> int:
    """Validations the run has recorded."""
    metrics = out / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def partial(out: Path) -> bool:
    """Whether an unfinished checkpoint lies in the run folder."""
    return any((out / "checkpoint").glob(".*.partial"))


def kill(model: str, out: Path, *, after: int, wait: float, in_write: bool) -> bool:
    """Let the run come to its validation number ``after``, wait, kill it; False if it had ended by then.

    With ``in_write`` the kill falls as soon as a checkpoint is being written.
    """
    process = start(model, out)
    while process.is_alive() and lines(out) < after:
        time.sleep(0.001)
    if in_write:
        while process.is_alive() and not partial(out):
            pass
    else:
        time.sleep(wait)
    process.kill()
    process.join()
    return process.exitcode != 0


def disturb(model: str, out: Path, kills: int, seconds: float) -> int:
    """Kill the run so many times, spread over its whole length, then let it end; how many fell inside a write.

    Args:
        model: its name.
        out: its folder.
        kills: how many.
        seconds: that the whole run takes.
    """
    chance, done, inside = random.Random(0), 0, 0
    total = STEPS // EVERY
    while done < kills:
        # Of every five kills one is early in the start, and one inside a write until that has been seen.
        early, in_write = done % 5 == 1, done % 5 == 3 or (done > kills // 2 and not inside)
        after = 0 if early else round(total * done / (kills + 1))
        if not kill(model, out, after=after, wait=chance.uniform(0, 2 * seconds / total), in_write=in_write):
            raise RuntimeError(f"{model} ended after {done} kills")
        inside += partial(out)
        done += 1
    process = start(model, out)
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"{model} could not be resumed")
    return inside


def tensors(path: Path) -> dict[str, bytes]:
    """The tensors of a file, byte for byte."""
    with safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}


def differences(one: Path, two: Path) -> list[str]:
    """What differs between two finished runs, times apart."""
    found = []
    for name in ("checkpoint/state.safetensors", "model.safetensors"):
        first, second = tensors(one / name), tensors(two / name)
        found += [f"{name}: {key}" for key in sorted(first.keys() | second) if first.get(key) != second.get(key)]
    metrics = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, two)]
    for line in (*metrics[0], *metrics[1]):
        line.pop("seconds")
    if metrics[0] != metrics[1]:
        found.append("metrics.jsonl")
    records = [json.loads((run / "training.json").read_text()) for run in (one, two)]
    for key in ("finished", "weights", "model", "settings", "best_step", "figure"):
        if records[0].get(key) != records[1].get(key):
            found.append(f"training.json: {key}")
    return found


def test(model: str, kills: int) -> bool:
    """Run a model both ways, print a line, and say whether they ended alike."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        whole, part = Path(folder, "whole"), Path(folder, "part")
        process = start(model, whole)
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"{model} cannot be fitted")
        seconds = json.loads((whole / "training.json").read_text())["seconds"]
        inside = disturb(model, part, kills, seconds)
        found = differences(whole, part)
        count = len(tensors(whole / "checkpoint/state.safetensors"))
    took = time.perf_counter() - began
    ending = f"differs in {', '.join(found[:3])}" if found else f"{count} tensors and the metrics are identical"
    print(f"{model:<10} {kills} kills, {inside} inside a checkpoint write: {ending} ({took:.0f} s)", flush=True)
    return not found and inside > 0


def learned() -> list[str]:
    """The models that are trained step by step."""
    from pushforward.datasets.load import load_data
    from pushforward.zoo import create, models

    digits = load_data("digits")
    return [m.name for m in models() if any(stage.phases for stage in create(m.name, digits).stages())]


def main() -> int:
    """Test every model that was asked for; 0 if none differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", nargs="+", help="names; all learned models if left out")
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    return 0 if all([test(model, given.kills) for model in given.models or learned()]) else 1


if __name__ == "__main__":
    sys.exit(main())
