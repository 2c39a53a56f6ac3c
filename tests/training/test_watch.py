"""The watch over the latent space: when it speaks, what it does, and that a resumed run goes on with it."""

import pytest

from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.training.checkpoint import Position, load_checkpoint
from pushforward.training.settings import Settings
from pushforward.training.watch import MOST, Observation, Watch
from tests.evaluation.codes import Lens
from tests.small_data import points
from tests.training.watched import make_loop, metrics

GOOD, BAD = Observation({"kl": 3.0}), Observation({"kl": 0.0}, collapsed=True, said="posterior collapse: set beta to 1")


def lens(data: Data, **fields) -> Lens:
    return Lens(example=data.example, condition=data.condition, **fields)


def looked(observations, remedy="off", **position) -> tuple[list[dict], list[str], Position, Lens]:
    said, held = [], Position(**position)
    seen = iter(observations)
    model = lens(points())
    watch = Watch(lambda averaged: next(seen), remedy, said.append)
    lines = []
    for _ in observations:
        held.step += 10
        lines.append(watch.look(model, model, held))
    return lines, said, held, model


def test_a_collapse_counts_from_the_third_time_on_and_is_said_once():
    lines, said, position, _ = looked([BAD, BAD, GOOD, BAD, BAD, BAD, BAD])
    assert ["collapse" in line for line in lines] == [False] * 5 + [True] * 2
    assert said == [BAD.said] and position.eased == []
    assert lines[0] == {"latent": {"kl": 0.0}} and lines[5]["collapse"] == BAD.said


def test_a_remedy_is_recorded_and_not_repeated_without_end():
    lines, said, position, model = looked([BAD] * 12, "auto")
    assert position.eased == [30, 60, 90] and model.eased == MOST == 3
    assert ["remedy" in line for line in lines] == [i in (2, 5, 8) for i in range(12)]
    assert said.count("remedy: beta 1 from here on, and the KL term grows anew") == 3


def test_a_model_with_nothing_to_ease_says_so_once(monkeypatch):
    monkeypatch.setattr(Lens, "ease", lambda self, times: "")
    lines, said, position, _ = looked([BAD] * 6, "auto")
    assert said == [BAD.said, "remedy: this Lens has nothing to ease"]
    assert position.eased == [] and not any("remedy" in line for line in lines)


def test_nothing_is_concluded_before_the_kl_term_has_its_weight():
    early = BAD._replace(settling=0.5)
    said, position, model = [], Position(), lens(points())
    watch = Watch(lambda averaged: early, "off", said.append)
    counted = []
    for model.progress in (0.1, 0.3, 0.49, 0.5, 0.6, 0.7):
        watch.look(model, model, position)
        counted.append(position.collapsed)
    assert counted == [0, 0, 0, 1, 2, 3] and said == [BAD.said]


def test_without_a_code_nothing_is_recorded():
    assert looked([None, None])[0] == [{}, {}]


def test_another_remedy_is_refused():
    with pytest.raises(InputError, match="^remedy: got 'none', expected off or auto"):
        Settings(remedy="none")


def watched_run(folder, *, remedy="auto", stop=None):
    """Forty steps in which every validation sees a collapse; the first ``stop`` of them only, if that is given."""
    folder.mkdir(exist_ok=True)
    data = points()
    model = lens(data, beta=4.0)
    loop = make_loop(model, data, folder=folder, steps=40, batch_size=32, validate_every=5, remedy=remedy)
    loop.watch = Watch(lambda averaged: BAD, remedy, lambda line: None)
    if (folder / "checkpoint").exists():
        loop.resume()
    if stop is not None:
        after = loop.interrupts.asked
        loop.interrupts.asked = lambda: loop.position.step == stop or after()
        with pytest.raises(KeyboardInterrupt):
            loop.run()
    else:
        loop.run()
    return loop


def test_a_remedied_run_is_resumed_to_the_bit(tmp_path):
    whole = watched_run(tmp_path / "whole")
    watched_run(tmp_path / "part", stop=33)
    again = watched_run(tmp_path / "part")
    assert whole.position.eased == again.position.eased == [15, 30]
    assert again.model.eased == 2
    first, second = (load_checkpoint(tmp_path / name / "checkpoint")[1] for name in ("whole", "part"))
    assert all(first[name].equal(second[name]) for name in first)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "part")


def test_progress_starts_anew_with_a_remedy(tmp_path):
    loop = watched_run(tmp_path / "run")
    # The last of 40 steps is number 39, the last remedy came after 30.
    assert loop.model.progress == pytest.approx(9 / 10)
    assert watched_run(tmp_path / "plain", remedy="off").model.progress == pytest.approx(39 / 40)
