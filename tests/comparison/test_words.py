"""Hand-made scorecards whose reading is known, and the sentences that must (and must not) come of them."""

from pushforward.comparison.table import columns
from pushforward.comparison.words import summary
from pushforward.evaluation.score import Score
from tests.comparison.cards import accuracy, entry, likelihood, seconds


def said(entries) -> dict[str, str]:
    return {remark.title: " ".join(remark.sentences) for remark in summary(entries, columns(entries))}


def copies(value: float, half: float) -> Score:
    return Score(name="copies", value=value, low=max(value - half, 0.0), high=value + half, ideal=0.0)


def test_a_bound_above_an_exact_value_proves_nothing():
    text = said([entry("gpt", likelihood(2.26, "exact")), entry("vae", likelihood(2.6, "bound"))])["Likelihood"]
    assert "of gpt it is exact" in text and "of vae it is an upper bound" in text
    assert "bound of vae proves nothing against the exact gpt 2.26" in text
    assert "proven better" not in text and "is best" not in text


def test_a_bound_below_an_exact_value_is_proven_better():
    text = said([entry("independent", likelihood(2.43, "exact")), entry("vae", likelihood(2.1, "bound"))])["Likelihood"]
    assert "vae <= 2.100 [2.080, 2.120] lies below the exact independent 2.430" in text and "proven better" in text
    assert "proves nothing" not in text


def test_bounds_of_other_examples_say_nothing():
    text = said([entry("a", likelihood(2.43, "exact")), entry("b", likelihood(2.1, "bound", n=50))])["Likelihood"]
    assert "proven better" not in text and "proves nothing" not in text


def test_a_mass_and_a_density_are_not_compared():
    text = said([entry("a", likelihood(2.4, "exact")), entry("b", likelihood(-9.0, "exact", measure="density"))])
    assert "A density and a mass are different quantities and are not compared." in text["Likelihood"]


def test_the_best_among_bounds_is_a_guarantee():
    text = said([entry("a", likelihood(2.1, "bound")), entry("b", likelihood(2.5, "bound"))])["Likelihood"]
    assert "a <= 2.100 [2.080, 2.120] is lowest, which ranks the guarantees and not the true costs" in text


def test_an_order_only_where_intervals_are_apart():
    clear = said([entry("a", accuracy(0.6)), entry("b", accuracy(0.8))])["Samples"]
    assert "a 0.600 [0.570, 0.630] is best" in clear and "next is b" in clear
    tied = said([entry("a", accuracy(0.6)), entry("b", accuracy(0.63)), entry("c", accuracy(0.9))])["Samples"]
    assert "cannot be told apart" in tied and "behind them, intervals apart: c" in tied and "best," not in tied


def test_better_than_every_baseline_needs_every_baseline_and_every_metric():
    def both(value):
        return accuracy(value), accuracy(value, name="linear")

    entries = [
        entry("ddpm", *both(0.6)),
        entry("vae", accuracy(0.6), accuracy(0.95, name="linear")),
        entry("gan", *both(0.79)),
        entry("gaussian", *both(0.8)),
        entry("independent", *both(0.99)),
    ]
    text = said(entries)["Against the baselines"]
    assert "by two-sample accuracy (linear) and two-sample accuracy (trees): ddpm." in text
    assert "by some of these only: vae." in text
    assert "Not shown to be better than every baseline by any of these: gan." in text


def test_what_reaches_the_floor():
    floor = (accuracy(0.52, half=0.05),)
    entries = [entry("a", accuracy(0.55), floor=floor), entry("b", accuracy(0.8), floor=floor)]
    text = said(entries)["How far from real data"]
    assert "real training examples score 0.52 [0.47, 0.57]" in text
    assert "not told from real data by it with 180 samples: a; still told: b." in text


def test_copies_are_suspected_only_beyond_the_interval():
    suspect = said([entry("a", copies(0.1, 0.02)), entry("b", copies(0.01, 0.02))])["Copying"]
    assert "Samples of a 0.100 [0.080, 0.120] equal training examples" in suspect and " b " not in suspect
    clear = said([entry("a", copies(0.01, 0.02))])["Copying"]
    assert "Nothing points to copying" in clear
    assert "not measured" in said([entry("a", accuracy(0.6))])["Copying"]


def test_nearer_to_training_than_held_out_data_is():
    near = Score(name="nearest training example", value=0.9, low=0.85, high=0.94, ideal=0.5)
    far = Score(name="nearest training example", value=0.1, low=0.06, high=0.15, ideal=0.5)
    text = said([entry("a", near), entry("b", far)])["Copying"]
    assert "Samples of a 0.900 [0.850, 0.940] lie nearer to training examples" in text and "b 0.1" not in text


def test_one_seed_is_said_to_be_one():
    assert "trained once" in said([entry("a", accuracy(0.6))])["Training seeds"]
    runs = [entry("a", accuracy(v), seed=s) for s, v in enumerate((0.6, 0.75))]
    text = said(runs)["Training seeds"]
    assert "a (0.6 to 0.75)" in text and "Of 2 training seeds" in text


def test_shared_times_are_said_to_be_shared():
    shared = Score(name="training time", value=9.0, unit="s", conditions={"machine": "shared"})
    assert "shared machine" in said([entry("a", shared), entry("b", shared)])["Time"]
    quick, slow = (seconds(v, "seconds per 1,000 samples") for v in (0.5, 50.0))
    text = said([entry("a", quick), entry("b", slow)])["Time"]
    assert text == "1,000 samples take from 0.5 s (a) to 50 s (b)."


def test_a_fault_is_told():
    text = said([entry("a", accuracy(0.6)), entry("b", fault="training: the loss is nan")])["Missing"]
    assert text == "b, seed 0, has no numbers: training: the loss is nan."
