"""Similarity to the training samples: nearest neighbors by NumPy, and its way through the model file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dlnotes_cli.training.model_file import load_classifier
from dlnotes_cli.training.similarity import Similarity, output_layer, take_similarity, with_features
from dlnotes_cli.training.tensor_file import read_tensors


def test_the_similarity_is_the_cosine_to_the_fifth_nearest_sample() -> None:
    generator = np.random.default_rng(0)
    stored, features = generator.normal(size=(40, 6)), generator.normal(size=(7, 6))
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    cosines = features @ stored.T / np.linalg.norm(features, axis=1, keepdims=True)
    found = Similarity(torch.from_numpy(stored), 0.0).of(torch.from_numpy(features))
    np.testing.assert_allclose(found, np.sort(cosines)[:, -5], atol=1e-6)


def test_features_are_what_the_last_linear_layer_reads() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Softmax(1))
    x, layer = torch.randn(5, 3), output_layer(network)
    assert layer is network[2]
    outputs, features = with_features(layer, lambda: network(x))
    torch.testing.assert_close(features, network[:2](x))
    torch.testing.assert_close(outputs, network[2:](features))
    assert output_layer(nn.Conv2d(1, 1, 1)) is None


def test_a_model_of_images_has_features_of_its_training_data(digits_run: Path, table_run: Path) -> None:
    similarity = load_classifier(digits_run).similarity
    assert similarity is not None
    assert len(similarity.features) == 256  # all training samples of this run
    np.testing.assert_allclose(similarity.features.float().norm(dim=1), 1, atol=1e-2)
    assert 0 < similarity.usual < 1
    assert load_classifier(table_run).similarity is None


def test_damaged_features_are_refused(digits_run: Path) -> None:
    tensors = read_tensors(digits_run / "model.safetensors")[0]
    with pytest.raises(ValueError, match="features"):
        take_similarity(tensors | {"similarity.features": torch.zeros(4, 3)})
