"""Rows of a census: a VAE with a likelihood per column, beside baselines and TVAE, on the same machine.

    PUSHFORWARD_DATA=... python benchmarks/adult.py [--threads 2] [--budget 30] [--tvae 300] [--only vae] [--out FILE]

Every model learns from the training rows of `adult` and draws 10,000 rows, which are compared with as many test rows:

* *shape* and *trend*: one column, and two columns, at a time (``evaluation/tables.py``); 1 is perfect;
* *XGB*: 1 - |2 AUROC - 1| of XGBoost at telling real from generated rows, the mean of three folds; 1 where it cannot;
* *AUC*: AUROC on real test rows of XGBoost that learned to predict the income from generated ones;
* *closest*: distance of a generated row to the nearest training row over that of a test row; below 1 towards copies;
* *nats*: log-probability of a test row, with its kind.

"vae" draws codes from the prior it learned. "vae + mixture" is the same trained model, whose codes are drawn from a
mixture of Gaussians fitted to those of the training rows by EM afterwards; its seconds hold those of the VAE.

The line "training rows" scores real rows as if they had been generated: how far one can get. TVAE is that of the ctgan
package with its own defaults, stopped after ``--tvae`` seconds; the number of its 300 epochs that it came to is
printed. Seconds are wall-clock, and those of the processor stand beside them, for a machine that is shared.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pushforward as pf
from pushforward.core.data import Batch, Split
from pushforward.core.noise import Noise
from pushforward.core.table import Table
from pushforward.evaluation.tables import table_scores

#: A mixture as prior follows the codes of groups of people, which one normal cannot. Half the weight on the KL term
#: keeps more of a row in its code (18 nats in the place of 5), so that drawn columns agree with each other: it costs
#: one nat of the bound, 0.3 of the log-likelihood.
VAE: dict[str, Any] = {"prior": "mixture", "prior_components": 64, "beta": 0.5}

#: Rows per update and peak learning rate: more than the defaults, for a run of a few thousand steps.
TRAINING: dict[str, Any] = {"batch_size": 256, "lr": 3e-3}

#: Gaussians with full covariance for the codes: some 450 training rows for each.
COMPONENTS = 64

#: Importance samples of the nats, a lower bound that rises with them.
SAMPLES = 20

#: Test rows whose nats are taken, evenly spaced: importance samples take their time.
SCORED = 4000


@dataclass
class Drawn:
    """What a model did."""

    rows: Tensor
    fit: float  # seconds
    draw: float
    processor: float  # seconds of all cores, fit and draw together
    nats: str = ""
    note: str = ""


def every(split: Split) -> Tensor:
    """All rows of a split."""
    return split.spread(len(split)).x


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """A result and its seconds."""
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def ours(name: str, data: pf.Data, rows: int, settings: pf.Settings, **how: Any) -> Drawn:
    """One of our models, by name."""
    with tempfile.TemporaryDirectory() as folder:
        busy = time.process_time()
        run, fit = timed(lambda: pf.fit(name, data, settings=settings, out=f"{folder}/run", show=False, **how))
        drawn, draw = timed(lambda: run.model.sample(rows, seed=1))
        busy = time.process_time() - busy
        chosen = data.test.spread(SCORED).x
        kind = run.model.density().kind
        nats = run.model.log_prob(chosen, samples=1 if kind == "exact" else SAMPLES)
        return Drawn(drawn, fit, draw, busy, f"{nats.mean():.2f} {kind}")


def autoencoded(data: pf.Data, rows: int, settings: pf.Settings, **how: Any) -> Iterator[tuple[str, Drawn]]:
    """The VAE with its own prior, then with a mixture of its codes."""
    with tempfile.TemporaryDirectory() as folder:
        busy = time.process_time()
        run, fit = timed(lambda: pf.fit("vae", data, settings=settings, out=f"{folder}/a", show=False, **how))
        model = run.model
        trained = time.process_time() - busy
        drawn, draw = timed(lambda: model.sample(rows, seed=1))
        busy = time.process_time() - busy
        nats = model.log_prob(data.test.spread(SCORED).x, samples=SAMPLES).mean()
        note = f"{run.training['steps']} steps" if "steps" in run.training else ""
        yield "vae", Drawn(drawn, fit, draw, busy, f"{nats:.2f} bound", note)

        def codes_by_em() -> pf.Run:
            noise = Noise(2, rows=len(data.train))
            with torch.no_grad():
                y, _ = model.fitted.encode(every(data.train), noise=noise)
                codes = model.sample_code(y, None, noise=noise)
            options = {"components": COMPONENTS}
            return pf.fit("mixture", codes.double().numpy(), options=options, out=f"{folder}/b", show=False)

        def draw_rows() -> Tensor:
            z = codes.model.sample(rows, seed=1).float()
            noise = Noise(3, rows=rows)
            with torch.no_grad():
                y = model.observed.draw(model.decode_theta(z, None), noise)
            return model.fitted.decode(y, noise=noise)

        busy = time.process_time()
        codes, more = timed(codes_by_em)
        drawn, draw = timed(draw_rows)
        yield "vae + mixture", Drawn(drawn, fit + more, draw, trained + time.process_time() - busy)


class Clock:
    """In the place of the progress bar of TVAE: ends its loop over epochs when the time is up."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.epochs = seconds, 0

    def __call__(self, epochs: range, disable: bool = True) -> "Clock":
        self.range, self.until = epochs, time.perf_counter() + self.seconds
        return self

    def __iter__(self) -> Iterator[int]:
        for epoch in self.range:
            if time.perf_counter() > self.until:
                return
            yield epoch
            self.epochs = epoch + 1


def tvae(data: pf.Data, rows: int, seconds: float) -> Drawn:
    """TVAE of ctgan (Xu et al. 2019), a missing category being a category."""
    from ctgan import TVAE
    from ctgan.synthesizers import tvae as module

    assert isinstance(data.example, Table)
    table = data.example
    frame = table.unpack(every(data.train)).fillna("?")
    words = [column.name for column in table.columns if not column.numeric]
    clock, torch_seed = Clock(seconds), 0
    module.tqdm = clock
    torch.manual_seed(torch_seed)
    np.random.seed(torch_seed)
    model, busy = TVAE(enable_gpu=False), time.process_time()
    _, fit = timed(lambda: model.fit(frame, words))
    made, draw = timed(lambda: model.sample(rows))
    busy = time.process_time() - busy
    drawn = table.pack(made.replace("?", None))
    return Drawn(drawn, fit, draw, busy, note=f"{clock.epochs} epochs of 300")


def told_apart(table: Table, real: Tensor, fake: Tensor) -> float:
    """1 - |2 AUROC - 1| of XGBoost, the mean of three folds."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    x = torch.cat([real, fake]).numpy()
    y = np.repeat([1, 0], [len(real), len(fake)])
    areas = []
    for seen, unseen in StratifiedKFold(3, shuffle=True, random_state=0).split(x, y):
        learned = boosted(table, range(len(table.columns))).fit(x[seen], y[seen])
        areas.append(roc_auc_score(y[unseen], learned.predict_proba(x[unseen])[:, 1]))
    return 1 - abs(2 * float(np.mean(areas)) - 1)


def downstream(table: Table, fake: Tensor, test: Tensor) -> float:
    """AUROC of the income on real rows, learned from generated ones."""
    from sklearn.metrics import roc_auc_score

    target = [column.name for column in table.columns].index("income")
    kept = [i for i in range(len(table.columns)) if i != target]
    if len(torch.unique(fake[:, target])) < 2:
        return 0.5
    learned = boosted(table, kept).fit(fake[:, kept].numpy(), fake[:, target].numpy())
    return float(roc_auc_score(test[:, target].numpy(), learned.predict_proba(test[:, kept].numpy())[:, 1]))


def boosted(table: Table, kept: Any) -> Any:
    """XGBoost with its defaults, told which columns are categories."""
    from xgboost import XGBClassifier

    types = ["q" if table.columns[i].numeric else "c" for i in kept]
    return XGBClassifier(tree_method="hist", enable_categorical=True, feature_types=types, random_state=0)


def scored(name: str, drawn: Drawn, data: pf.Data) -> dict[str, Any]:
    """One line of the table."""
    assert isinstance(data.example, Table)
    real = every(data.test)[torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))]
    real = real[: len(drawn.rows)]
    scores, _ = table_scores(data, Batch(real), drawn.rows)
    by_name = {score.name: score.value for score in scores}
    line = {
        "model": name,
        "fit s": drawn.fit,
        "draw s": drawn.draw,
        "processor s": drawn.processor,
        "nats": drawn.nats,
        "shape": by_name["column shape"],
        "trend": by_name["column trend"],
        "XGB": told_apart(data.example, real, drawn.rows[: len(real)]),
        "AUC": downstream(data.example, drawn.rows, every(data.test)),
        "closest": by_name["distance to closest record"],
        "note": drawn.note,
    }
    print(row(line), flush=True)
    return line


def row(line: dict[str, Any]) -> str:
    """A line as text."""
    seconds = [f"{line[key]:8.1f}" if math.isfinite(line[key]) else 8 * " " for key in ("fit s", "draw s")]
    seconds.append(f"{line['processor s']:9.1f}" if math.isfinite(line["processor s"]) else 9 * " ")
    scores = [f"{line[key]:7.4f}" for key in ("shape", "trend", "XGB", "AUC", "closest")]
    return f"{line['model']:<14}{''.join(seconds)}  {line['nats']:<14}{' '.join(scores)}  {line['note']}"


def models(data: pf.Data, given: argparse.Namespace) -> Iterator[tuple[str, Drawn]]:
    """All that are asked for, one after another."""
    settings = pf.Settings(threads=given.threads, seed=given.seed)
    wanted = given.only or ("training", "independent", "gaussian", "mixture", "vae", "tvae")
    if "training" in wanted:
        yield "training rows", Drawn(data.train.spread(given.rows).x, math.nan, math.nan, math.nan)
    for name in ("independent", "gaussian", "mixture"):
        if name in wanted:
            yield name, ours(name, data, given.rows, settings)
    if "vae" in wanted:
        long = {"steps": given.steps} if given.steps else {"budget": given.budget}
        training = replace(settings, **TRAINING)
        yield from autoencoded(data, given.rows, training, options=VAE, **long)
    if "tvae" in wanted:
        yield "TVAE", tvae(data, given.rows, given.tvae)


def main() -> int:
    """Fit, draw, score and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--budget", type=float, default=30.0, help="seconds of training of the vae")
    parser.add_argument("--steps", type=int, default=0, help="steps of training of the vae, in the place of a budget")
    parser.add_argument("--tvae", type=float, default=300.0, help="seconds of training of TVAE")
    parser.add_argument("--only", nargs="*", help="some of: training independent gaussian mixture vae tvae")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a JSON file for the table")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = pf.load_data("adult")
    print(f"{len(data.train)} training rows, {given.rows} drawn, {given.threads} threads, seed {given.seed}")
    print("model            fit s  draw s  processor  nats            shape   trend     XGB     AUC closest")
    lines = [scored(name, drawn, data) for name, drawn in models(data, given)]
    if given.out is not None:
        given.out.write_text(
            json.dumps({"given": vars(given), "vae": VAE, "lines": lines}, indent=1, default=str) + "\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
