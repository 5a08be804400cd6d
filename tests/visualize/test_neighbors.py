"""`visualize neighbors` and `embedding`: distances against scikit-learn, features cached, coordinates in files."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from builders import Command, make_images
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from dlnotes_cli.training import projection
from dlnotes_cli.visualize.neighbors import nearest, typical_distances


def test_typical_distances_are_those_of_scikit_learn_without_the_image_itself() -> None:
    features = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    features[7] = features[90]  # equal images are neighbors of each other
    found = NearestNeighbors(n_neighbors=2, metric="cosine").fit(features).kneighbors(features)[0][:, 1]
    typical = typical_distances(features)
    assert typical is not None
    assert typical.median == pytest.approx(np.median(found), abs=1e-6)
    assert typical.percentile_99 == pytest.approx(np.percentile(found, 99), abs=1e-6)
    assert typical_distances(features[:1]) is None
    own = np.array([7, 90, 150])
    distances, rows = nearest(features[own], features, 5, own)
    expected = NearestNeighbors(n_neighbors=6, metric="cosine").fit(features).kneighbors(features[own])[0][:, 1:]
    assert distances.numpy() == pytest.approx(expected, abs=1e-6)
    assert not (rows.numpy() == own[:, None]).any()


def test_a_query_unlike_the_data_is_flagged(tmp_path: Path, dlnotes: Command) -> None:
    folder = make_images(tmp_path / "images", count=4)
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    words = ("--data", folder, "--sheet", tmp_path / "sheet.png", "--overwrite")
    images = (folder / "red" / "1.png", tmp_path / "noise.png")
    document = json.loads(dlnotes("visualize", "neighbors", "small", *images, *words, "--json").out)
    assert [result["unlike_data"] for result in document["results"]] == [False, True]
    typical = document["typical_distance"]
    assert 0 <= typical["median"] <= typical["percentile_99"]
    printed = dlnotes("visualize", "neighbors", "small", *images, *words).out
    assert "nearest distance within the data: median" in printed
    assert f"{images[1]} is unlike the data: its nearest distance" in printed
    assert f"{images[0]} is unlike" not in printed


def test_fewer_images_than_neighbors_and_zero_vectors_are_no_error() -> None:
    distances, rows = nearest(np.zeros((1, 4), np.float32), np.eye(3, 4, dtype=np.float32), 9)
    assert distances.tolist() == [[1.0, 1.0, 1.0]]
    assert sorted(rows[0].tolist()) == [0, 1, 2]


def test_an_image_is_its_own_nearest_neighbor_and_features_are_cached(tmp_path: Path, dlnotes: Command) -> None:
    folder = make_images(tmp_path / "images", count=4)
    query = folder / "red" / "2.png"
    words = ("--data", folder, "--count", 3, "--sheet", tmp_path / "sheet.png", "--overwrite", "--json")
    documents = [json.loads(dlnotes("visualize", "neighbors", "small", query, *words).out) for _ in range(2)]
    first, second = (document["results"][0]["neighbors"] for document in documents)
    assert first == second  # computed, then read from the cache
    assert first[0]["file"] == str(query)
    assert first[0]["distance"] == pytest.approx(0, abs=1e-6)
    assert {neighbor["class"] for neighbor in first} == {"red"}
    assert documents[0]["layer"] == "flatten1"
    assert documents[0]["features"] == 320
    cached = json.loads(dlnotes("data", "cache", "list", "--json").out)["folders"]
    assert any("small" not in entry["preprocessing"] and "flatten1" in entry["preprocessing"] for entry in cached)


def test_an_embedding_has_the_coordinates_of_scikit_learn(tmp_path: Path, dlnotes: Command, digits_run: Path) -> None:
    words = (
        "--method",
        "pca",
        "--sheet",
        tmp_path / "map.png",
        "--csv",
        tmp_path / "map.csv",
        "--out",
        tmp_path / "map.npz",
        "--json",
    )
    outcome = dlnotes("visualize", "embedding", digits_run, *words)
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert (document["images"], document["features"], document["layer"]) == (1797, 16, "activation1")
    with np.load(tmp_path / "map.npz") as stored:
        arrays = dict(stored)
    expected = PCA(2, random_state=0).fit_transform(arrays["features"].astype(np.float64))
    assert np.abs(arrays["points"]) == pytest.approx(np.abs(expected), abs=1e-6)
    rows = list(csv.DictReader((tmp_path / "map.csv").read_text().splitlines()))
    assert [float(row["x"]) for row in rows[:5]] == pytest.approx(arrays["points"][:5, 0], rel=1e-5)
    assert rows[0]["class"] == str(arrays["classes"][arrays["labels"][0]])


def test_umap_gets_the_features_and_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is large and optional, so that a stand-in takes its place."""

    class Umap:
        def __init__(self, **options: int) -> None:
            assert options == {"n_components": 2, "n_neighbors": 4, "random_state": 7, "n_jobs": 1}

        def fit_transform(self, features: np.ndarray) -> np.ndarray:
            return features[:, :2]

    monkeypatch.setattr(projection, "find_spec", lambda name: name)
    monkeypatch.setattr(projection, "import_module", lambda _name: SimpleNamespace(UMAP=Umap))
    features = np.random.default_rng(0).normal(size=(5, 6))
    points, axes = projection.project(features, "umap", 7)
    assert np.array_equal(points, features[:, :2])
    assert axes == ("UMAP 1", "UMAP 2")
