"""The latent space as a transformer of scikit-learn: its own checks, and what they do not ask."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from pushforward.core.modality import Image
from pushforward.run.encoder import LatentEncoder

ROWS = np.random.default_rng(0).normal(size=(200, 5)) @ np.random.default_rng(1).normal(size=(5, 5))


def tiny(**chosen) -> LatentEncoder:
    return LatentEncoder("vae", **{"latent_dim": 2, "steps": 3, "options": {"width": 8, "depth": 1}} | chosen)


@parametrize_with_checks([tiny()])
def test_the_checks_of_scikit_learn(estimator, check):
    """All of them apply, and none is expected to fail."""
    check(estimator)


def test_codes_are_those_of_the_fitted_model():
    encoder = tiny().fit(ROWS)
    known = encoder.model_.encode(torch.tensor(ROWS))
    assert np.array_equal(encoder.transform(ROWS), known.numpy())
    assert np.array_equal(encoder.inverse_transform(known.numpy()), encoder.model_.decode(known).numpy())


def test_rows_of_pixels_are_images_where_that_is_said():
    digits = load_digits()
    encoder = tiny(example=Image(height=8, width=8, levels=17), latent_dim=3).fit(digits.data)
    codes = encoder.transform(digits.data[:10])
    assert codes.shape == (10, 3)
    back = encoder.inverse_transform(codes)
    assert back.shape == (10, 64) and back.min() >= 0 and back.max() <= 16 and (back == back.round()).all()
    assert encoder.get_feature_names_out().tolist() == ["latentencoder0", "latentencoder1", "latentencoder2"]
    for wrong in (digits.data[:, :60], digits.data + 0.5, digits.data - 1):
        with pytest.raises(ValueError, match="^X: got"):
            tiny(example=Image(height=8, width=8, levels=17)).fit(wrong)


def test_it_is_a_step_of_a_pipeline():
    digits = load_digits()
    pipe = make_pipeline(tiny(steps=30), LogisticRegression(max_iter=2000))
    pipe.set_params(latentencoder__latent_dim=8)
    pipe.fit(digits.data[:600], digits.target[:600])
    assert pipe.score(digits.data[600:900], digits.target[600:900]) > 0.3  # chance is 0.1; 30 steps are few
    again = clone(pipe).fit(digits.data[:600], digits.target[:600])
    assert np.array_equal(pipe.predict(digits.data[600:]), again.predict(digits.data[600:]))
    kept = pickle.loads(pickle.dumps(pipe))
    assert np.array_equal(kept.predict(digits.data[600:]), pipe.predict(digits.data[600:]))


def test_a_model_without_a_code_is_refused():
    with pytest.raises(ValueError, match="^model: Gaussian cannot encode rows"):
        LatentEncoder("gaussian", steps=1).fit(ROWS)
    with pytest.raises(ValueError, match="^X: got codes of 3 units, expected 2"):
        tiny().fit(ROWS).inverse_transform(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="^steps: got 0"):
        tiny(steps=0).fit(ROWS)
