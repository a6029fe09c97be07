"""Distances of sets of images, against sums by hand and against sets whose distance is known."""

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial

from dlkit.tasks.image_generation.image_features import learn_features
from dlkit.tasks.image_generation.metrics import (
    compute_fid,
    compute_kid,
    compute_mean_kid,
    compute_precision_and_recall,
    mix_pixels,
    score_images,
)
from dlkit.vision.digits import digits


@pytest.fixture(scope="module")
def images():
    return digits()["train"]["image"][:400, ..., None]


def test_the_kernel_distance_is_the_sum_over_pairs():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(5, 3)), generator.normal(1, 1, (4, 3))

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    own = [
        sum(kernel(x, y) for i, x in enumerate(values) for j, y in enumerate(values) if i != j)
        / (len(values) * (len(values) - 1))
        for values in (first, second)
    ]
    between = np.mean([kernel(x, y) for x in first for y in second])
    assert compute_kid(first, second) == pytest.approx(sum(own) - 2 * between)


def test_the_frechet_distance_of_normal_distributions():
    values = np.random.default_rng(0).normal(size=(2000, 4))
    values = (values - values.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(values.T))).T  # covariance 1
    assert compute_fid(values, values) == pytest.approx(0, abs=1e-9)
    assert compute_fid(values, values + np.array([3, 4, 0, 0])) == pytest.approx(25)
    assert compute_fid(values, 3 * values) == pytest.approx(4 * (3 - 1) ** 2)  # sum of (s1 - s2)^2


def test_precision_and_recall_of_one_of_two_clusters():
    generator = np.random.default_rng(0)
    cluster = generator.normal(size=(200, 2))
    both = np.concatenate([cluster, cluster + 100])
    precision, recall = compute_precision_and_recall(both, cluster + 1e-3)
    assert precision > 0.98
    assert recall == pytest.approx(0.5, abs=0.01)
    assert compute_precision_and_recall(cluster, cluster + 50) == (0, 0)


@pytest.fixture(scope="module")
def sets():
    """Features of two sets of 60 and 50 images whose means, spreads and correlations differ."""
    generator = np.random.default_rng(3)
    mix = generator.normal(size=(5, 5))
    return generator.normal(size=(60, 5)) @ mix, generator.normal(0.3, 1.2, (50, 5)) @ mix[::-1]


def test_the_frechet_distance_is_that_of_the_matrix_square_root(sets):
    covariances = [np.cov(each.T) for each in sets]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    means = sets[0].mean(0) - sets[1].mean(0)
    expected = means @ means + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert compute_fid(*sets) == pytest.approx(expected)


def test_precision_and_recall_are_those_of_balls_to_the_third_neighbor(sets):
    def share_inside(points, centers):
        radius = scipy.spatial.KDTree(centers).query(centers, 4)[0][:, 3]  # the first is the center itself
        distances = scipy.spatial.distance.cdist(points, centers)
        return (distances <= radius).any(1).mean()

    real, generated = sets
    found = compute_precision_and_recall(real, generated)
    assert found == pytest.approx((share_inside(generated, real), share_inside(real, generated)))
    assert found[0] != found[1]


def test_the_kernel_distance_of_many_images_is_the_mean_of_subsets():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(1500, 4)), generator.normal(0.2, 1, (1200, 4))
    mean, whole = compute_mean_kid(first, second), compute_kid(first, second)
    assert mean != whole
    assert mean == pytest.approx(whole, rel=0.1)
    assert compute_mean_kid(first[:900], second[:1000]) == compute_kid(first[:900], second[:1000])


def test_the_floor_is_one_half_of_the_real_images_against_the_other(images):
    metrics = score_images(images, images[::-1], lambda each: each.reshape(len(each), -1) / 255.0)
    halves = [images[part::2].reshape(200, -1) / 255.0 for part in (0, 1)]
    assert metrics["floor_kid"] == pytest.approx(compute_kid(*halves))
    assert metrics["floor_fid"] == pytest.approx(compute_fid(*halves))
    assert (metrics["floor_precision"], metrics["floor_recall"]) == compute_precision_and_recall(*halves)
    assert metrics["fid"] == pytest.approx(0, abs=1e-6)  # the same images
    assert metrics["precision"] == metrics["recall"] == 1


def test_mixed_pixels_keep_the_levels_of_each_place(images):
    mixed = mix_pixels(images)
    np.testing.assert_array_equal(np.sort(mixed, 0), np.sort(images, 0))
    assert (mixed != images).any((1, 2, 3)).mean() > 0.99


def test_features_of_real_images_are_standardized(images):
    features = learn_features(images)(images)
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-3)
    assert features.std(0).max() == pytest.approx(1, abs=0.05)


def test_better_images_have_better_metrics(images):
    real, others = images[:200], images[200:]
    noisy = np.clip(others + np.random.default_rng(0).normal(0, 40, others.shape), 0, 255).astype(np.uint8)
    same, noised, mixed, few = (
        score_images(real, generated) for generated in (others, noisy, mix_pixels(others), np.repeat(others[:4], 50, 0))
    )
    assert same["kid_skill"] > 0.99
    assert same["kid_skill"] > noised["kid_skill"] > mixed["kid_skill"]
    assert abs(mixed["kid_skill"]) < 0.3
    assert abs(same["kid"]) < 3 * abs(same["floor_kid"]) + 0.02
    assert few["recall"] < 0.5 * same["recall"]
    assert same["baseline_kid_skill"] == 0
    assert same["images"] == 200
