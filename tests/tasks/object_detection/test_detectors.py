"""Every detector: its shapes, its loss and its codec, and that it can learn one image by heart."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.object_detection import retinanet
from dlkit.tasks.object_detection.centernet import (
    GAUSSIAN_FRACTION,
    STRIDE,
    CenterNetLoss,
    _focal_loss,
    decode_predictions,
)
from dlkit.tasks.object_detection.detection_decoder import DetectionDecoder
from dlkit.tasks.object_detection.objects import CROWD
from dlkit.training.freeze import freeze

NAMES = ["centernet", "retinanet", "yolo_v8"]
SHAPE, CLASSES = (64, 96, 3), 3


@pytest.fixture(scope="module", params=NAMES)
def detector(request):
    module = importlib.import_module(f"dlkit.tasks.object_detection.{request.param}")
    keras.utils.set_random_seed(0)
    return request.param, module, module.build_network(SHAPE, CLASSES), build_loss(request.param, module)


def build_loss(name, module):
    return module.build_loss(
        SHAPE, 2.0, **{"centernet": {"box_weight": 5.0}, "yolo_v8": {"num_classes": CLASSES}}.get(name, {})
    )


def objects(*rows, most=4):
    padded = np.tile(np.float32([0, 0, 0, 0, -1, 0]), (len(rows), most, 1))
    for row, boxes in enumerate(rows):
        for place, box in enumerate(boxes):
            padded[row, place] = box
    return tf.constant(padded)


def test_decoded_locations_have_boxes_and_scores(detector):
    name, module, network, _ = detector
    images = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), np.uint8)
    predictions = network({"image": images})["predictions"]
    boxes, scores = (tensor.numpy() for tensor in module.decode_predictions(predictions, *SHAPE[:2]))
    assert boxes.shape == (2, predictions.shape[1], 4)
    assert scores.shape == (2, predictions.shape[1], CLASSES)
    assert np.isfinite(boxes).all()
    assert ((scores >= 0) & (scores < 0.2)).all()  # before training, nothing is likely
    if name != "retinanet":
        assert (boxes[..., 2:] >= boxes[..., :2]).all()


def test_a_preset_brings_weights_and_scaling_and_only_these_weights_are_frozen(tmp_path):
    keras_hub = pytest.importorskip("keras_hub")
    saved = retinanet._small_resnet(keras_hub, SHAPE)
    saved.save_to_preset(str(tmp_path))
    keras_hub.layers.ResNetImageConverter(scale=1 / 255, offset=-0.5).save_to_preset(str(tmp_path))
    gray = retinanet.build_network((*SHAPE[:2], 1), CLASSES, preset=str(tmp_path))
    assert gray.output_shape == retinanet.build_network(SHAPE, CLASSES).output_shape
    network = retinanet.build_network(SHAPE, CLASSES, preset=str(tmp_path))
    assert network.get_layer("rescale").get_config()["scale"] == pytest.approx(1 / 255)
    frozen = freeze(network, "backbone")
    kept = [weight for layer in frozen for weight in layer.weights]
    for mine, theirs in zip(kept, saved.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(kept) < len(network.get_layer("backbone").weights)


def test_centernet_s_boxes_are_means_of_neighbors_by_their_scores():
    predictions = np.zeros((1, 6 * 5, CLASSES + 4), np.float32)  # 24 x 20 pixels; sides of one stride, 4 pixels
    predictions[..., :CLASSES] = -np.inf
    predictions[0, 2 * 5 + 2, 0] = 0.0  # scores 1/2
    predictions[0, 2 * 5 + 3, 1] = -np.log(3.0)  # 1/4
    predictions[0, 2 * 5 + 3, -4:] = np.log([1.0, 1.0, 2.0, 3.0])
    boxes, scores = (tensor.numpy()[0] for tensor in decode_predictions(tf.constant(predictions), 24, 20))
    own, beside = np.array([6, 6, 14, 14]), np.array([6, 10, 18, 26])  # around the centers (10, 10) and (10, 14)
    np.testing.assert_allclose(boxes[2 * 5 + 2], (2 * own + beside) / 3, rtol=1e-6)
    np.testing.assert_allclose(boxes[2 * 5 + 1], own, rtol=1e-6)  # the other one is too far
    assert (boxes[0] == 0).all()  # nothing is near
    assert scores[2 * 5 + 2, 0] == pytest.approx(0.5)


def test_a_row_s_loss_does_not_depend_on_the_others(detector):
    _, _, network, loss = detector
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), np.uint8)
    true = objects(
        [[8, 8, 40, 40, 0, 0], [20, 50, 50, 90, 2, 0]], [], [[4, 4, 24, 30, 1, 0], [0, 40, 60, 90, 1, CROWD]]
    )
    predictions = network({"image": images})["predictions"]
    together = loss.call(true, predictions).numpy()
    alone = [loss.call(true[row : row + 1], predictions[row : row + 1]).numpy()[0] for row in range(3)]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert np.isfinite(together).all()
    assert together[0] > together[1] > 0


def test_a_crowd_costs_nothing_inside(detector):
    _, _, network, loss = detector
    predictions = network({"image": np.zeros((1, *SHAPE), np.uint8)})["predictions"]
    nothing = loss.call(objects([]), predictions).numpy()[0]
    everywhere = loss.call(objects([[-100, -100, 500, 500, 0, CROWD]]), predictions).numpy()[0]
    assert abs(everywhere) < 1e-6 < nothing


@pytest.mark.slow
@pytest.mark.parametrize("detector", NAMES, indirect=True)
def test_it_learns_an_image_by_heart(detector):
    name, _, network, loss = detector
    image = np.zeros((1, *SHAPE), np.uint8)
    image[0, 10:34, 8:40], image[0, 30:60, 60:90] = [255, 0, 0], [0, 255, 0]
    true = objects([[10, 8, 34, 40, 0, 0], [30, 60, 60, 90, 2, 0]])
    network.compile(keras.optimizers.Adam(2e-3), loss={"predictions": loss})
    network.fit(
        {"image": np.repeat(image, 8, 0)}, {"predictions": np.repeat(true, 8, 0)}, epochs=60, batch_size=8, verbose=0
    )
    detect = DetectionDecoder(name, *SHAPE[:2], ["red", "blue", "green"], 5, 0.3, 0.5)
    answer = detect(network({"image": image}, training=True)["predictions"], tf.constant([SHAPE[:2]]))
    labels, boxes = answer["labels"].numpy()[0].tolist(), answer["boxes"].numpy()[0]
    found = {label: boxes[labels.index(label)] for label in labels}  # the best of each
    np.testing.assert_allclose(found[b"red"], [10, 8, 34, 40], atol=4)
    np.testing.assert_allclose(found[b"green"], [30, 60, 60, 90], atol=4)


def test_a_network_survives_its_file(detector, tmp_path):
    _, _, network, _ = detector
    network.save(tmp_path / "network.keras")
    images = np.random.default_rng(0).integers(0, 256, (1, *SHAPE), np.uint8)
    again = keras.models.load_model(tmp_path / "network.keras", compile=False)
    np.testing.assert_allclose(
        again({"image": images})["predictions"], network({"image": images})["predictions"], atol=1e-5
    )


def test_the_targets_of_an_object_are_a_gaussian_around_its_center():
    loss = CenterNetLoss(32, 32, 1.0)
    shares = loss._gaussians(objects([[4, 8, 20, 28, 0, 0]])).numpy()[0, 0].reshape(8, 8)
    # center (12, 18) lies in cell (3, 4); radii floor(16 / 4 / 2 * 0.54) = 1 and floor(20 / 4 / 2 * 0.54) = 1
    assert (STRIDE, GAUSSIAN_FRACTION) == (4, 0.54)
    assert shares[3, 4] == 1
    beside = np.exp(-((1 / (3 / 6)) ** 2) / 2)
    np.testing.assert_allclose(shares[3, [2, 3, 5, 6]], [0, beside, beside, 0], rtol=1e-6)
    np.testing.assert_allclose(shares[2, 3], beside**2, rtol=1e-6)


def test_the_focal_loss_by_hand():
    heat = tf.constant([[[1.0], [0.5], [0.0]]])
    logits = tf.constant([[[0.0], [0.0], [0.0]]])
    ignored = tf.constant([[False, False, False]])
    log = -np.log(0.5)
    expected = 0.25 * log + 0.5**4 * 0.25 * log + 0.25 * log
    np.testing.assert_allclose(_focal_loss(heat, logits, ignored), [expected], rtol=1e-6)
    np.testing.assert_allclose(_focal_loss(heat, logits, tf.constant([[False, True, True]])), [0.25 * log], rtol=1e-6)


def test_predictions_have_32_bits_whatever_the_network_computes_in(detector):
    _, module, _, _ = detector
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = module.build_network(SHAPE, CLASSES)
    finally:
        keras.config.set_dtype_policy("float32")
    assert any(layer.compute_dtype == "bfloat16" for layer in network.layers)
    assert network.output["predictions"].dtype == "float32"
