"""Kill a run at twenty random moments, take it up each time, and compare its end with that of a run left in peace.

    python benchmarks/kill_test.py [--models vae gpt] [--kills 20]

Every learned model is fitted to the digits with one thread, in a process of its own that dies by SIGKILL: during its
start, between two checkpoints, and inside the write of a checkpoint (the parent sees the unfinished file appear, and
finds it left behind). Raw, averaged and best weights, the saved model and the metrics must then be those of the run
that was never disturbed, byte for byte. One line per model is printed; the exit status is 1 if one differs.
"""

import argparse
import json
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from safetensors import safe_open

#: Steps of every run and between its checkpoints: short runs with many checkpoints, so that twenty kills fit in.
STEPS, EVERY = 48, 2

#: Processes start with everything imported already: what a run does, and not Python's imports, is to be killed.
WORKERS = multiprocessing.get_context("forkserver")
WORKERS.set_forkserver_preload(["pushforward.run.verbs", "sklearn.datasets", "matplotlib.figure"])


def work(model: str, out: Path) -> None:
    """Begin the run, or go on with it if it is there."""
    from pushforward.run.verbs import fit, resume
    from pushforward.training.settings import Settings

    if out.exists():
        resume(out, trust=[model])
    else:
        settings = Settings(threads=1, device="cpu", steps=STEPS, validate_every=EVERY, batch_size=16)
        fit(model, "digits", out=out, settings=settings)


def warm() -> None:
    """Let the server of processes do its imports, so that they are no part of the first start."""
    process = WORKERS.Process(target=int)
    process.start()
    process.join()


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


def kill(model: str, out: Path, *, after: int, wait: float, in_write: bool) -> None:
    """Let the run come to its validation number ``after``, wait (two validations at most), kill it.

    With ``in_write`` the kill falls as soon as a checkpoint is being written.

    Raises:
        RuntimeError: if the run had ended by then.
    """
    process = start(model, out)
    while process.is_alive() and lines(out) < after:
        time.sleep(0.001)
    if in_write:
        while process.is_alive() and not partial(out):
            pass
    else:
        until, enough = time.perf_counter() + wait, max(lines(out), after) + 2
        while time.perf_counter() < until and lines(out) < enough:
            time.sleep(0.001)
    process.kill()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        raise RuntimeError(f"{model} ended by itself with status {process.exitcode}")


def finish(model: str, out: Path) -> float:
    """Let the run come to its end; returns the seconds before its first validation."""
    began, process = time.perf_counter(), start(model, out)
    while process.is_alive() and not lines(out):
        time.sleep(0.001)
    before = time.perf_counter() - began
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"{model} ended with status {process.exitcode}")
    return before


def disturb(model: str, out: Path, kills: int, before: float, seconds: float) -> int:
    """Kill the run so many times, spread over its whole length, then let it end; how many fell inside a write.

    Args:
        model: its name.
        out: its folder.
        kills: how many.
        before: seconds from the start of the process to the first validation.
        seconds: of the whole run from there on.
    """
    chance, inside, total = random.Random(0), 0, STEPS // EVERY
    for number in range(kills):
        # Of every five kills one is in the start, and one inside a write; more of these until one has succeeded.
        early, in_write = number % 5 == 1, number % 5 == 3 or (number > kills // 2 and not inside)
        after = 0 if early else round(total * number / (kills + 1))
        wait = chance.uniform(0, before) if early else chance.uniform(0, 2 * seconds / total)
        kill(model, out, after=after, wait=wait, in_write=in_write)
        inside += partial(out)
    finish(model, out)
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
    warm()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        whole, part = Path(folder, "whole"), Path(folder, "part")
        before = finish(model, whole)
        seconds = json.loads((whole / "training.json").read_text())["seconds"]
        inside = disturb(model, part, kills, before, seconds)
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
