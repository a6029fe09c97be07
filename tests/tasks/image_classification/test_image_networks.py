"""Image networks: published parameter counts, odd sizes, saving, and what their options do."""

import math

import keras
import numpy as np
import pytest

from dlkit.tasks.image_classification.alexnet import alexnet
from dlkit.tasks.image_classification.lenet import lenet
from dlkit.tasks.image_classification.mlp import mlp
from dlkit.tasks.image_classification.resnet import cifar_resnet, imagenet_resnet, resnet
from dlkit.tasks.image_classification.vgg import vgg
from dlkit.training.freeze import list_weighted_layers
from dlkit.vision.preset import preset

PHOTO = (224, 224, 3)


def trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def pixels(shape, batch=2):
    return np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype=np.uint8)


def answer(model, images, training=False):
    return model({"image": images}, training=training)["logits"]


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda: lenet((28, 28, 1), 10), 61_706),
        (lambda: mlp((28, 28, 1), 10, widths=(100,)), 784 * 100 + 100 + 100 * 10 + 10),
        (lambda: alexnet(PHOTO, 1000), 61_100_840),
        (lambda: vgg(PHOTO, 1000), 138_357_544),
        (lambda: vgg(PHOTO, 1000, blocks=(1, 1, 2, 2, 2)), 132_863_336),
        (lambda: vgg(PHOTO, 1000, normalize=True), 138_357_544 + 4224),  # a scale takes the place of each bias
        # He et al.'s 0.27 million with zero padding; the two 1 x 1 shortcuts add 16 * 32 + 32 * 64 and their scales
        (lambda: resnet((32, 32, 3), 10, depth=20), 269_722 + 512 + 2048 + 2 * (32 + 64)),
        (lambda: imagenet_resnet(PHOTO, 1000), 25_557_032),
        (lambda: imagenet_resnet(PHOTO, 1000, blocks=(2, 2, 2, 2), bottleneck=False), 11_689_512),
        (lambda: resnet(PHOTO, 1000), 11_689_512),
        (lambda: resnet(PHOTO, 1000, depth=34), 21_797_672),
    ],
)
def test_published_parameter_counts(build, count):
    with keras.StatelessScope(initialize_variables=False):  # shapes alone: VGG16 would take half a gigabyte
        model = build()
    assert trainable(model) == count
    keras.utils.clear_session()


SMALL = [
    lambda shape: mlp(shape, 7, widths=(16,), dropout=0.1),
    lambda shape: lenet(shape, 7, filters=(4, 5), pooling="average", activation="tanh"),
    lambda shape: alexnet(shape, 7, filters=(4, 6, 8, 6, 6), dense_units=(16, 16)),
    lambda shape: vgg(shape, 7, blocks=(1, 1, 2, 1, 1), widths=(4, 4, 6, 6, 6), dense_units=(8,), normalize=True),
    lambda shape: cifar_resnet(shape, 7, blocks=(1, 1), widths=(4, 8), stem_widths=(3, 4)),
    lambda shape: cifar_resnet(
        shape, 7, blocks=(1, 2), widths=(4, 8), stem_widths=(4,), preactivation=True, dropout=0.2
    ),
    lambda shape: imagenet_resnet(shape, 7, blocks=(1, 1), widths=(4, 6)),
    lambda shape: imagenet_resnet(shape, 7, blocks=(1, 1), widths=(4, 6), bottleneck=False),
]


@pytest.mark.parametrize("number", range(len(SMALL)))
@pytest.mark.parametrize("shape", [(28, 28, 1), (33, 21, 3), (71, 65, 3)])
def test_any_size_answers_and_survives_saving(number, shape, tmp_path):
    model = SMALL[number](shape)
    images = pixels(shape)
    logits = answer(model, images).numpy()
    assert (logits.shape, logits.dtype) == ((2, 7), np.float32)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(answer(model, images.astype("float32")), logits, atol=1e-6)
    np.testing.assert_allclose(answer(model, images[1:]), logits[1:], atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(answer(loaded, images), logits, atol=1e-6)


@pytest.mark.parametrize("number", range(len(SMALL)))
def test_logits_stay_float32_under_mixed_precision(number):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = SMALL[number]((28, 28, 1))
        assert model.layers[-2].compute_dtype == "bfloat16"
        assert answer(model, pixels((28, 28, 1))).dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)


def test_images_are_scaled_to_minus_one_one():
    model = mlp((2, 2, 1), 3)
    scaled = model.get_layer("to_minus_one_one")(np.array([0, 255], "uint8"))
    assert np.asarray(scaled).tolist() == [-1, 1]


@pytest.mark.parametrize("preactivation", [False, True])
def test_zero_residual_starts_as_the_identity_and_learns(preactivation):
    options = {"blocks": (2,), "widths": (4,), "stem_widths": (4,), "zero_residual": True}
    model = cifar_resnet((8, 8, 1), 3, preactivation=preactivation, **options)
    images = pixels((8, 8, 1), 8)
    stem = "stem_conv_1" if preactivation else "stem_conv_1_relu"
    ends = keras.Model(model.input, [model.get_layer(stem).output, model.get_layer("stage_1_block_2_add").output])
    start, end = ends({"image": images})
    np.testing.assert_allclose(start, end, atol=1e-6)
    model.compile("sgd", {"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True)})
    for _ in range(2):
        model.train_on_batch({"image": images}, {"logits": np.arange(8) % 3})
    start, end = ends({"image": images})
    assert np.abs(np.asarray(start) - np.asarray(end)).max() > 1e-4


def test_size_chooses_the_residual_network():
    assert resnet((32, 32, 3), 10).name == "cifar_resnet"
    assert trainable(resnet((28, 28, 1), 10, depth=8)) < trainable(resnet((28, 28, 1), 10))
    assert resnet((64, 64, 3), 10).name == "imagenet_resnet"


def test_layers_are_named_and_in_order():
    names = [
        layer.name
        for layer in list_weighted_layers(cifar_resnet((8, 8, 1), 3, blocks=(1,), widths=(4,), stem_widths=(4,)))
    ]
    assert names == [
        "stem_conv_1",
        "stem_conv_1_norm",
        "stage_1_block_1_conv_1",
        "stage_1_block_1_conv_1_norm",
        "stage_1_block_1_conv_2",
        "stage_1_block_1_conv_2_norm",
        "logits",
    ]


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: mlp((8, 8, 1), 2, widths=(0,)), "`widths` must be positive. Received: widths=(0,)."),
        (lambda: lenet((8, 8, 1), 2), "`input_shape` is too small"),
        (lambda: lenet((28, 28, 1), 2, pooling="mean"), "`pooling` must be max or average. Received: pooling='mean'."),
        (lambda: alexnet((7, 9, 3), 2), "`input_shape` must be at least 8 x 8. Received: input_shape=(7, 9, 3)."),
        (
            lambda: alexnet((28, 28, 3), 2, filters=(1, 2)),
            "`filters` must have five entries. Received: filters=(1, 2).",
        ),
        (lambda: vgg((28, 28, 3), 2, blocks=(1, 0), widths=(4, 4)), "Received: blocks=(1, 0), widths=(4, 4)."),
        (lambda: cifar_resnet((28, 28, 3), 2, blocks=(1,)), "Received: blocks=(1,), widths=(32, 64, 128)."),
        (lambda: resnet((28, 28, 3), 2, depth=34), "`depth` must be 6n + 2"),
        (lambda: resnet((128, 99, 3), 2, depth=20), "`depth` must be 18, 34, 50, 101 or 152"),
    ],
)
def test_bad_parameters(build, text):
    with pytest.raises(ValueError) as error:
        build()
    assert text in str(error.value)


@pytest.fixture(scope="module")
def hub():
    return pytest.importorskip("keras_hub")


def tiny_backbone(hub):
    return hub.models.VGGBackbone(
        stackwise_num_repeats=[1, 1], stackwise_num_filters=[4, 8], image_shape=(None, None, 3)
    )


@pytest.mark.parametrize("shape", [(28, 28, 1), (24, 24, 3)])
def test_preset_runs_the_backbone_behind_its_own_preprocessing(hub, tmp_path, shape):
    backbone = tiny_backbone(hub)
    backbone.save_to_preset(str(tmp_path))
    converter = hub.models.VGGImageClassifierPreprocessor.image_converter_cls(
        image_size=(24, 24), scale=[0.1, 0.05, 0.03], offset=[-1.0, -2.0, -3.0]
    )
    converter.save_to_preset(str(tmp_path))
    model = preset(tmp_path, shape, 5, dropout=0.1)
    images = pixels(shape)
    rgb = np.broadcast_to(images, (*images.shape[:3], 3)).astype("float32")
    expected = np.asarray(backbone(converter(rgb))).mean((1, 2))
    pooled = keras.Model(model.input, model.get_layer("pool").output)({"image": images})
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-5)
    logits = answer(model, images)
    assert logits.shape == (2, 5) and logits.dtype == "float32"
    assert [layer.name for layer in list_weighted_layers(model)] == ["block1_conv1", "block2_conv1", "logits"]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(answer(loaded, images), logits, atol=1e-6)


def test_preset_without_a_converter(hub, tmp_path):
    backbone = tiny_backbone(hub)
    backbone.save_to_preset(str(tmp_path))
    model = preset(tmp_path, (20, 16, 3), 5)
    images = pixels((20, 16, 3))
    expected = np.asarray(backbone(images.astype("float32"))).mean((1, 2))
    pooled = keras.Model(model.input, model.get_layer("pool").output)({"image": images})
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-4)


def test_unknown_preset_names_what_was_looked_for(hub, tmp_path):
    for name in ("no_such_preset", tmp_path / "no_such_folder", tmp_path):
        with pytest.raises(ValueError) as error:
            preset(name, (28, 28, 3), 5)
        assert f"name_or_folder={str(name)!r}" in str(error.value)


def test_text_preset_is_refused(hub, tmp_path):
    text = hub.models.BertBackbone(
        vocabulary_size=9, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4, max_sequence_length=4
    )
    text.save_to_preset(str(tmp_path))
    with pytest.raises(ValueError) as error:
        preset(tmp_path, (28, 28, 3), 5)
    assert "must name an image backbone" in str(error.value)
