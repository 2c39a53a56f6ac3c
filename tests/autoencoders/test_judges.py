"""A VQ-VAE with a critic and a perceptual distance: what each phase changes, and that nothing else does."""

import itertools
import signal

import pytest
import torch
from torch import Tensor

import pushforward as pf
from pushforward.autoencoders.vqvae import VQVAE
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.run.verbs import fit, resume
from pushforward.training.loop import Stopped
from tests.run.runs import QUICK, draw_nothing, final, weights
from tests.small_data import digits

DIGITS = Image(height=8, width=8, levels=17)
BOTH = {"adversarial": 0.5, "perceptual": 2.0}


def made(image: Image = DIGITS, *, condition: Label | None = None, **options) -> VQVAE:
    torch.manual_seed(0)
    return VQVAE(example=image, condition=condition, codes=8, width=16, depth=1, **options)


def batch(model: VQVAE) -> Tensor:
    found = digits(40).train.x[:16]
    return model.fitted.encode(found, noise=Noise(0, rows=16), dtype=model.dtype)[0]


def test_without_them_nothing_is_different():
    plain, judged = made(), made(**BOTH)
    rest = {name: p for name, p in judged.named_parameters() if not name.startswith("judges.")}
    assert rest.keys() == dict(plain.named_parameters()).keys()
    assert all(torch.equal(p, rest[name]) for name, p in plain.named_parameters())
    (codes, _) = plain.stages()
    assert [(phase.name, phase.terms.__name__) for phase in codes.phases] == [("codes", "fit_codes")]
    x, noise = batch(plain), Noise(0, rows=16)
    for terms in ("fit_codes", "terms"):
        one, other = (getattr(model.eval(), terms)(x, None, noise=noise) for model in (plain, judged))
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(plain.sample(3, seed=0), judged.sample(3, seed=0))


@pytest.mark.parametrize(("adversarial", "perceptual"), [(0.5, 0.0), (0.0, 2.0), (0.5, 2.0)])
def test_the_terms_and_phases_are_those_whose_weight_is_positive(adversarial, perceptual):
    model = made(adversarial=adversarial, perceptual=perceptual, prior_share=0.2)
    first, then, prior = model.stages()
    assert [first.share, then.share] == pytest.approx([0.2, 0.6]) and prior.name == "prior"
    assert [p.name for p in first.phases] == ["codes", "features"][: 1 + (perceptual > 0)]
    assert [p.name for p in then.phases] == ["pictures", "critic"][: 1 + (adversarial > 0)]
    terms = model.fit_pictures(x := batch(model), None, noise=Noise(0, rows=16))
    wanted = {"adversarial": adversarial, "perceptual": perceptual}
    assert set(terms) == {"reconstruction", "quantisation"} | {name for name, weight in wanted.items() if weight}
    mean = model.observed.inputs(model.observed.mean(model.decode_theta(model.infer(x, None))))
    if adversarial:
        expected = 0.5 * 64 * model.judges.critic.unconvinced(mean)
        assert torch.allclose(terms["adversarial"], expected, atol=1e-4)
    if perceptual:
        expected = 2 * 64 * model.judges.features.distance(model.observed.inputs(x), mean)
        assert torch.allclose(terms["perceptual"], expected, atol=1e-3)


def learners(model: VQVAE) -> set[str]:
    """The parts that have gradients, which are then cleared."""
    names = {name for name, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())}
    model.zero_grad(set_to_none=True)
    return {".".join(name.split(".")[: 1 + name.startswith("judges.")]) for name in names}


def test_each_phase_teaches_its_own_and_leaves_the_codes_alone():
    model = made(**BOTH).train()
    x, noise = batch(model), Noise(0, rows=16)
    model.fit_codes(x, None, noise=noise)  # where the codebook begins
    model.after_step()
    before = {name: t.clone() for name, t in model.named_buffers()}
    for terms, taught in ((model.fit_critic, "judges.critic"), (model.fit_features, "judges.features")):
        sum(terms(x, None, noise=noise).values()).sum().backward()
        assert learners(model) == {taught}
        model.after_step()
        assert all(torch.equal(t, before[name]) for name, t in model.named_buffers())
    assert model.training and model.quantize.training
    terms = model.fit_pictures(x, None, noise=noise)
    (terms["adversarial"] + terms["perceptual"]).sum().backward()
    assert learners(model) == {"encoder", "decoder"}
    model.after_step()
    assert not all(torch.equal(t, before[name]) for name, t in model.named_buffers())


@pytest.mark.parametrize(
    ("likelihood", "levels"),
    [(name, 17) for name in ("gaussian", "continuous-bernoulli", "discretised-logistic", "categorical")]
    + [("bernoulli", 2)],
)
def test_the_mean_is_a_picture_in_the_units_of_the_encoder(likelihood, levels):
    """Its gradient reaches the decoder's numbers, and it lies where the pictures do: on [-1, 1]."""
    model = made(Image(height=4, width=4, levels=levels), likelihood=likelihood, adversarial=1.0)
    x = torch.arange(levels, dtype=torch.uint8)[:, None, None, None].expand(levels, 1, 4, 4)
    y = model.fitted.encode(x, noise=Noise(0, rows=levels))[0]
    assert model.observed.inputs(y).abs().max() <= 1
    theta = (0.1 * torch.randn(3, *model.observed.theta)).requires_grad_()
    mean = model._mean_picture(theta)
    mean.sum().backward()
    assert mean.shape == (3, 1, 4, 4) and mean.abs().max() <= 1
    assert (theta.grad.flatten(1).abs().sum(1) > 0).all()


def test_features_are_of_labels_where_there_are_some():
    label = Label(names=("a", "b", "c"))
    x = batch(made())
    model = made(condition=label, perceptual=1.0)
    known = Condition(torch.zeros(16, dtype=torch.int64), torch.arange(16) < 8)
    terms = model.fit_features(x, known, noise=Noise(0, rows=16))
    assert list(terms) == ["labels"] and (terms["labels"] > 0).tolist() == [True] * 8 + [False] * 8
    assert (model.fit_features(x, None, noise=Noise(0, rows=16))["labels"] == 0).all()
    for condition in (None, Label(names=("only",))):
        noises = (Noise(seed, rows=16) for seed in (0, 0, 1))
        one, same, other = (made(condition=condition, perceptual=1.0).fit_features(x, None, noise=n) for n in noises)
        assert list(one) == ["turns"] and torch.equal(one["turns"], same["turns"])
        assert not torch.equal(one["turns"], other["turns"])


def test_a_stopped_run_goes_on_to_the_bit(tmp_path, monkeypatch):
    monkeypatch.setattr("pushforward.run.verbs.draw_samples", draw_nothing)
    data = digits(80)
    options = {"codes": 8, "width": 8, "depth": 1, "prior": "independent", **BOTH}

    def trained(name: str, log=lambda folder, line: None):
        return fit("vqvae", data, steps=20, seed=1, out=tmp_path / name, settings=QUICK, options=options, log=log)

    whole = trained("whole")
    for step in (5, 15):  # at the end of the first stage, and within the second

        def stop(folder, line, step=step):
            if line["step"] == step:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(Stopped):
            trained(f"part-{step}", stop)
        path = resume(tmp_path / f"part-{step}", data=data).path
        assert weights(path) == weights(whole.path) and final(path) == final(whole.path)


@pytest.mark.slow
@pytest.mark.parametrize("condition", [None, Label(names=("a", "b"))], ids=["turns", "labels"])
def test_the_variant_passes_the_check(condition):
    report = pf.check(made(condition=condition, **BOTH), seed=0)
    assert report.ok, str(report)


def test_weights_that_make_no_sense_are_refused():
    for name, value in itertools.product(("adversarial", "perceptual"), (-0.1, float("inf"), float("nan"))):
        with pytest.raises(InputError, match=f"{name}: got {value}, expected a finite number of at least 0"):
            made(**{name: value})
    with pytest.raises(InputError, match="adversarial: got 1.0 for points of 2 numbers, expected 0, or images"):
        VQVAE(example=Points(dim=2), adversarial=1.0)
