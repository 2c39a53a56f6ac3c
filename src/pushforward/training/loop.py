r"""The loop: stages in sequence, phases in alternation, one gradient step at a time.

    for each stage of the model:            a VQ-VAE, then its prior
        for each step:
            for each phase of the stage:    a critic, then a generator
                x  <- a batch in model units, from noise addressed by (seed, update)
                theta <- AdamW(theta, gradient of the mean over the batch of the phase's terms)
            model.after_step(); the average follows
        every now and then: the validation figure, the best weights, a picture, a checkpoint

Everything random is a function of (seed, update), so the state is weights, averages, optimiser moments and a few
counters: a run that was stopped anywhere goes on as if it had not been.
"""

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from pushforward.core import saving
from pushforward.core.data import Batch, Data
from pushforward.core.errors import InputError
from pushforward.core.model import Model
from pushforward.core.noise import Noise
from pushforward.core.stages import Phase, Stage
from pushforward.training.batches import Batches, hide_conditions
from pushforward.training.checkpoint import (
    Position,
    fill,
    load_checkpoint,
    named,
    restore_optimizer,
    save_checkpoint,
    state_tensors,
)
from pushforward.training.interrupts import Interrupts
from pushforward.training.metrics import Diverged, Means, append_line, keep_lines
from pushforward.training.optimizers import Average, adamw, learning_rate
from pushforward.training.pace import affordable, end_of, interval, usual
from pushforward.training.progress import Bar
from pushforward.training.settings import Settings
from pushforward.training.watch import Observation, Watch

__all__ = ["Loop", "Stopped"]

#: Examples a closed form sees at most: past this, sampling error is below 1/300 of a standard deviation.
SOLVE_ROWS = 100_000


class Stopped(KeyboardInterrupt):
    """Training was asked to stop, and wrote a checkpoint first."""


class Loop:
    """Trains one model on one data set into one folder.

    Args:
        model: to be trained in place.
        data: its train split is learned from.
        settings: ``steps`` must be set before ``run``; ``calibrate`` finds it from a time.
        fabric: launched.
        validate: the held-out figure of a model, lower is better.
        picture: draws samples of a model into the folder.
        observe: what is seen of the latent space of a model; None where it has none.
        slack: how much of the newest figure is noise: later weights replace the best unless worse by more.
        say: formats a validation figure for people.
        log: is given the run folder and every line of the metrics.
        bar: where progress is shown.
    """

    def __init__(
        self,
        model: Model,
        data: Data,
        settings: Settings,
        *,
        fabric: Fabric,
        validate: Callable[[Model], float],
        picture: Callable[[Model, Path], None] = lambda model, folder: None,
        observe: Callable[[Model], Observation | None] = lambda model: None,
        slack: Callable[[], float] = lambda: 0.0,
        say: Callable[[float], str] = "{:.4g}".format,
        log: Callable[[Path, dict], None] = lambda folder, line: None,
        bar: Bar,
    ) -> None:
        self.data, self.settings, self.fabric, self.bar = data, settings, fabric, bar
        self.validate, self.slack, self.picture, self.say, self.log = validate, slack, picture, say, log
        #: Where checkpoint, metrics and best weights go; None keeps nothing.
        self.folder: Path | None = None
        #: Steps in all; ``calibrate`` finds them from a time, with the seconds per step beside.
        self.total, self.pace = settings.steps, None
        self.position, self.means, self.interrupts = Position(), Means(), Interrupts(fabric)
        self.watch = Watch(observe, settings.remedy, bar.say)
        self._drawing, self._best = 0.0, dict[str, Tensor]()
        self._tensors: dict[str, Tensor] = {}
        parts = fabric.world_size * settings.accumulate
        most = min(settings.batch_size or model.batch_size, len(data.train))
        if most < parts:
            raise InputError(f"batch_size: {most} examples cannot be cut in {parts}")
        self.batches = Batches(data.train, most // parts * parts, settings.seed)
        if fabric.world_size > 1 and not any(p.requires_grad for p in model.parameters()):
            raise InputError(f"model: {type(model).__name__} is fitted in closed form, expected one process for it")
        self.model = model
        self.module = fabric.setup_module(model)
        self.average = Average(model, settings.ema)

    # -- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> Position:
        """Train to the end; afterwards ``model`` holds the best weights.

        Raises:
            Diverged: if the loss leaves the finite numbers.
            Stopped: on Ctrl-C or SIGTERM, after a checkpoint.
        """
        stages = list(self.model.stages())
        with self.interrupts:
            for index, stage in enumerate(stages[self.position.stage :], start=self.position.stage):
                if stage.solve is not None:
                    self._solve(stage)
                else:
                    self._descend(stage, end_of(index, stages, self.total))
                if self._best and index + 1 < len(stages):  # the next one builds on the best weights of this one
                    self.model.load_state_dict(self._best)
                    self.average, self._best, self.position.best = Average(self.model, self.settings.ema), {}, None
                self.position.stage = index + 1
                self.checkpoint({})
        self.model.load_state_dict(self._best or self.model.state_dict())
        return self.position

    def _descend(self, stage: Stage, end: int) -> None:
        optimizers = self._optimizers(stage)
        self._tensors = {}  # what was resumed belongs to this stage: a later phase of the same name starts anew
        every = interval(self.total, self.settings.validate_every)
        for _ in range(self.position.step, end):
            began = time.perf_counter()
            self._step(stage, optimizers)
            self.position.seconds += time.perf_counter() - began
            step = self.position.step
            due = step % every == 0 or step == end
            if due:
                self._validate(stage)
            asked = self.interrupts.asked()
            if due or asked:
                self.checkpoint(optimizers)
            if asked:
                raise Stopped(f"stopped after step {step} of {self.total}")

    def _step(self, stage: Stage, optimizers: dict[str, Any]) -> None:
        step = self.position.step
        self.model.train()
        self.model.progress = self.watch.progress(self.position, self.total)
        rate = learning_rate(step, self.total, warmup=self.settings.warmup, schedule=self.settings.schedule)
        for phase in stage.phases:
            if len(stage.phases) > 1:
                chosen = set(map(id, phase.parameters))
                for parameter in self.model.parameters():
                    parameter.requires_grad_(id(parameter) in chosen)
            for _ in range(phase.repeats):
                self._update(phase, optimizers[phase.name], rate)
        if len(stage.phases) > 1:
            self.model.requires_grad_(True)
        self.model.after_step()
        self.position.step += 1
        self.average.update(self.position.step, last=self.position.step == self.total)

    def _update(self, phase: Phase, optimizer: Any, rate: float) -> None:
        parts = self.settings.accumulate
        rows = self.batches.size // self.fabric.world_size // parts
        for part in range(parts):
            start = (self.fabric.global_rank * parts + part) * rows
            batch, noise = self._batch(start, rows)
            with self.fabric.no_backward_sync(self.module, enabled=part < parts - 1 and self.fabric.world_size > 1):
                with self.fabric.autocast():
                    terms = getattr(self.module, phase.terms.__name__)(batch.x, batch.condition, noise=noise)
                means = {name: term.mean() for name, term in terms.items()}
                loss = torch.stack(list(means.values())).sum() / parts
                self.fabric.backward(loss)
            loss = self.means.add(phase, means, self.position.step)
            self.bar.update(self.position.step + 1, self.total or None, loss=loss)
        if limit := self.settings.clip or phase.clip:
            self.fabric.clip_gradients(self.module, optimizer, max_norm=limit, error_if_nonfinite=False)
        for group in optimizer.param_groups:
            group["lr"] = rate * (self.settings.lr or phase.lr)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self.position.update += 1

    def _batch(self, start: int, rows: int) -> tuple[Batch, Noise]:
        """Rows of the present batch in model units, and the noise the loss goes on drawing from."""
        update, settings = self.position.update, self.settings
        noise = Noise(settings.seed, update + 1, rows=rows, start=start)  # step 0 is left to samples of the same seed
        batch = self.batches.part(update, noise).to(self.fabric.device)
        batch = hide_conditions(batch, settings.drop_condition, noise)
        return self._encoded(batch, noise), noise

    def _encoded(self, batch: Batch, noise: Noise) -> Batch:
        """A storage batch in model units, without condition where the model was made without."""
        with torch.no_grad():
            x, _ = self.model.fitted.encode(batch.x, noise=noise, dtype=self.model.dtype)
        return Batch(x, None if self.model.condition is None else batch.condition)

    def _solve(self, stage: Stage) -> None:
        """Run a closed form (or EM) over whole splits."""
        assert stage.solve is not None
        began = time.perf_counter()
        seed = self.settings.seed
        splits = (split.spread(SOLVE_ROWS).to(self.fabric.device) for split in (self.data.train, self.data.valid))
        train, valid = (self._encoded(batch, Noise(seed, 1, rows=len(batch.x))) for batch in splits)
        solver = stage.solve(train, valid, noise=Noise(seed, 2, rows=len(train.x)))
        for number, figure in enumerate(solver, start=1):
            self.bar.update(number, None, loss=figure)
            if self.interrupts.asked():
                raise Stopped(f"stopped in pass {number} of {stage.name!r}, which starts over when resumed")
        self.position.seconds += time.perf_counter() - began
        self.average = Average(self.model, self.settings.ema)  # the shapes of the weights may have changed
        self._validate(stage)

    # -- validation, checkpoints, metrics ------------------------------------------------------------------------------

    def _validate(self, stage: Stage) -> None:
        began, position = time.perf_counter(), self.position
        figure = self.validate(self.average.model)
        if not math.isfinite(figure):
            raise Diverged(f"training: after step {position.step} the validation figure is {figure:g}; try a lower lr")
        if position.improved(figure, math.inf if stage.keep == "last" else self.slack()):
            self._best = {name: t.detach().clone() for name, t in self.average.model.state_dict().items()}
            if self.folder is not None and self.fabric.is_global_zero:
                saving.save_folder(self.average.model, self.folder)
        # Pictures never cost more than a twentieth of the training they show; a finished run is drawn by its maker.
        wanted = self._drawing <= position.seconds / 20 and position.step < self.total
        if self.folder is not None and self.fabric.is_global_zero and wanted:
            lap = time.perf_counter()
            self.picture(self.average.model, self.folder)
            self._drawing += time.perf_counter() - lap
        self.bar.update(position.step, self.total or None, validation=self.say(figure))
        seen = self.watch.look(self.model, self.average.model, position)
        position.seconds += time.perf_counter() - began
        self._record(stage, figure, seen)

    def _record(self, stage: Stage, figure: float, seen: dict[str, Any]) -> None:
        line = {
            "step": self.position.step,
            "stage": stage.name,
            "seconds": round(self.position.seconds, 3),
            "validation": figure,
            "loss": self.means.take(),
            **seen,
        }
        self.position.lines += 1
        if self.folder is not None and self.fabric.is_global_zero:
            append_line(self.folder / "metrics.jsonl", line)
            self.log(self.folder, line)

    def checkpoint(self, optimizers: dict[str, Any]) -> None:
        """Write the whole state, unless a weight is no longer a number."""
        states: Any = self.fabric.all_gather(torch.get_rng_state().to(self.fabric.device))
        if self.folder is None or not self.fabric.is_global_zero:
            return
        tensors = state_tensors(self.model, self.average.model, self._best, optimizers)
        if not all(torch.isfinite(t).all() for n, t in tensors.items() if n.startswith("model.")):
            raise Diverged(f"training: after step {self.position.step} a weight is no longer finite; try a lower lr")
        tensors["random"] = states.reshape(self.fabric.world_size, -1)
        self.position.sums = self.means.sums
        save_checkpoint(self.folder / "checkpoint", self.position, tensors)

    def resume(self) -> None:
        """Go on from the checkpoint in the folder; from the start where none was written.

        Raises:
            InputError: if the checkpoint does not fit the model.
        """
        assert self.folder is not None
        found = load_checkpoint(self.folder / "checkpoint")
        if found is None:
            return
        self.position, self._tensors = found
        self.means = Means(self.position.sums)
        self.watch.resume(self.model, self.position)
        path = self.folder / "checkpoint"
        for prefix, module in (("model.", self.model), ("average.", self.average.model)):
            fill(module, named(self._tensors, prefix), path)
        self._best = named(self._tensors, "best.")
        if self._best and self.fabric.is_global_zero:
            best = deepcopy(self.average.model)
            best.load_state_dict(self._best)
            saving.save_folder(best, self.folder)
        states = self._tensors["random"]
        torch.set_rng_state(states[self.fabric.global_rank % len(states)].cpu())
        if self.fabric.is_global_zero:
            keep_lines(self.folder / "metrics.jsonl", self.position.lines)

    def calibrate(self, seconds: float) -> Settings:
        """How many steps fit in ``seconds``, and how often to validate: a few are made, timed, and undone.

        The time of validations and checkpoints is set aside. Both numbers are recorded: given, they repeat the run.
        """
        stages = [stage for stage in self.model.stages() if stage.solve is None]
        if not stages:
            return self.settings
        began = time.perf_counter()
        kept, random = deepcopy(self.model.state_dict()), torch.get_rng_state()
        self.total, optimizers, pace, pauses = 10**6, {}, 0.0, []
        for stage in stages:  # a twentieth of the budget, or two seconds: the clock of the first process decides
            optimizers, laps, start = self._optimizers(stage), [], time.perf_counter()
            enough = min(2.0, seconds / 20) / len(stages)
            while self.fabric.broadcast(len(laps) < 4 or time.perf_counter() - start < enough):
                lap = time.perf_counter()
                self._step(stage, optimizers)
                laps.append(time.perf_counter() - lap)
            pace += usual(laps) * stage.share / sum(s.share for s in stages)
        while self.fabric.broadcast(sum(pauses) < min(0.5, seconds / 40)):
            lap = time.perf_counter()
            self._pause(optimizers)
            pauses.append(time.perf_counter() - lap)
        self.model.load_state_dict(kept)
        torch.set_rng_state(random)
        self.position, self.means, self.average = Position(), Means(), Average(self.model, self.settings.ema)
        chosen = self.settings.validate_every
        found = affordable(began + seconds - time.perf_counter(), step=pace, pause=min(pauses), chosen=chosen)
        (self.total, every), self.pace = self.fabric.broadcast((found, pace))
        self.settings = replace(self.settings, steps=self.total, validate_every=every)
        return self.settings

    def _pause(self, optimizers: dict[str, Any]) -> None:
        """What is done at every validation, for its time alone."""
        with TemporaryDirectory() as folder:
            self.folder = Path(folder)
            self.validate(self.model)
            self.watch.observe(self.model)
            saving.save_folder(self.model, self.folder)
            self.checkpoint(optimizers)
        self.folder = None

    def _optimizers(self, stage: Stage) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for phase in stage.phases:
            self.module.mark_forward_method(phase.terms.__name__)
            optimizer = adamw(phase)
            restore_optimizer(phase.name, optimizer, self._tensors)
            made[phase.name] = self.fabric.setup_optimizers(optimizer)
        return made
