"""Networks of a segmenter: any size, saving, 16 bits, encoders, presets and what their options do."""

import keras
import numpy as np
import pytest

from dlkit.tasks.image_segmentation.unet import unet
from dlkit.training.freeze import list_weighted_layers

hub = pytest.importorskip("keras_hub")
from dlkit.tasks.image_segmentation.deeplab_v3 import deeplab_v3  # noqa: E402
from dlkit.tasks.image_segmentation.preset import mask_preset  # noqa: E402
from dlkit.tasks.image_segmentation.segformer import MixTransformer, segformer  # noqa: E402

CLASSES = 5
SMALL = {
    "unet": lambda shape: unet(shape, CLASSES, width=4, depth=2, dropout=0.1),
    "unet with an encoder": lambda shape: unet(shape, CLASSES, width=4, encoder="MobileNetV2"),
    "deeplab_v3": lambda shape: deeplab_v3(shape, CLASSES, widths=(64, 32), blocks=(1, 1), projection=8),
    "segformer": lambda shape: segformer(shape, CLASSES, widths=(8, 16, 24, 32), heads=(1, 2, 2, 2), decoder=16),
}


def pixels(shape, batch=2):
    return np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype=np.uint8)


def answer(model, images, training=False):
    return np.asarray(model({"image": images}, training=training)["logits"])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [pytest.param((64, 64, 3), marks=pytest.mark.slow), (45, 70, 1)])
def test_any_size_answers_in_full_and_survives_saving(name, shape, tmp_path):
    model = SMALL[name](shape)
    images = pixels(shape)
    logits = answer(model, images)
    assert (logits.shape, logits.dtype) == ((2, *shape[:2], CLASSES), np.float32)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(answer(model, images.astype("float32")), logits, atol=1e-5)
    np.testing.assert_allclose(answer(model, images[1:]), logits[1:], atol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(answer(loaded, images), logits, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SMALL))
def test_an_image_learnt_by_heart(name):
    """Four quarters of one colour each: after some steps each pixel is told right, to the borders."""
    keras.utils.set_random_seed(0)
    mask = np.kron([[0, 1], [2, 3]], np.ones((32, 32), int))[None].repeat(4, 0)
    images = np.array([[20, 20, 20], [200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)[mask]
    model = SMALL[name]((64, 64, 3))
    model.compile(keras.optimizers.Adam(5e-3), {"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True)})
    model.fit({"image": images}, {"logits": mask}, epochs=60, verbose=0)
    assert (answer(model, images, training=name == "unet with an encoder").argmax(-1) == mask).mean() > 0.95


@pytest.mark.parametrize("name", SMALL)
def test_logits_stay_float32_under_mixed_precision(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = SMALL[name]((64, 64, 3))
        assert model.get_layer("classes").compute_dtype == "bfloat16"
        assert answer(model, pixels((64, 64, 3))).dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)


def test_parameters_of_a_unet_by_hand():
    def block(before, after):
        return 9 * before * after + 9 * after**2 + 2 * 4 * after  # two convolutions, four numbers a map each

    levels = block(3, 4) + block(4, 8) + block(8, 16) + block(16 + 8, 8) + block(8 + 4, 4)
    assert unet((32, 32, 3), CLASSES, width=4, depth=2).count_params() == levels + 5 * 4 + 5


@pytest.mark.parametrize("encoder", ["MobileNetV2", "EfficientNetB0", "EfficientNetV2B0", "ResNet50V2"])
def test_encoders_give_a_level_at_each_half(encoder):
    model = unet((64, 96, 3), CLASSES, width=2, encoder=encoder)
    sizes = [output.shape[1:3] for output in model.get_layer("backbone").outputs]
    assert sizes == [(64 // 2**level, 96 // 2**level) for level in (1, 2, 3, 4, 5)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deeplab_v3", "segformer"])
def test_nothing_is_random_without_dropout(name):
    model = SMALL[name]((64, 64, 3))
    again = type(model).from_config(model.get_config())  # as several replicas make their copies
    again.set_weights(model.get_weights())
    images = pixels((64, 64, 3))
    for each in (model, again):
        for layer in each._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False  # so that training differs by what is random alone
    first = answer(model, images, training=True)
    np.testing.assert_allclose(answer(model, images, training=True), first, atol=1e-5)
    np.testing.assert_allclose(answer(again, images, training=True), first, atol=1e-5)


@pytest.mark.slow
def test_keras_s_transformer_would_drop_whatever_one_asks_for():
    plain = hub.models.MiTBackbone(**mix_transformer())
    rates = [layer.rate for layer in plain._flatten_layers() if isinstance(layer, keras.layers.Dropout)]
    assert set(rates) == {0.1}
    ours = MixTransformer(dropout=0.3, **mix_transformer())
    copy = MixTransformer.from_config(ours.get_config())
    for each in (ours, copy):
        assert {layer.rate for layer in each._flatten_layers() if isinstance(layer, keras.layers.Dropout)} == {0.3}


def test_deeplab_s_logits_are_those_of_keras_hub_s_segmenter():
    model = deeplab_v3((64, 64, 3), CLASSES, widths=(64, 32), blocks=(1, 1))
    encoder = hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 32],
        stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2], block_type="basic_block", image_shape=(64, 64, 3),
    )  # fmt: skip
    whole = hub.models.DeepLabV3ImageSegmenter(keras_hub_s_deeplab(encoder, (2, 4, 6)), CLASSES)
    kernel, bias = model.get_layer("classes").get_weights()
    order = ["backbone", "spatial_pyramid", "decoder_conv", "decoder_norm", "segmentation_head_conv",
             "segmentation_head_norm"]  # fmt: skip
    weights = {name: iter(model.get_layer(name).get_weights()) for name in order}
    for layer in whole.backbone.layers:
        kind = "backbone" if isinstance(layer, keras.Model) else "spatial_pyramid"
        if layer.weights:
            layer.set_weights(list(weights.get(layer.name, weights[kind])))
    whole.output_conv.set_weights([kernel])
    images = pixels((64, 64, 3))
    expected = np.asarray(whole(images / np.float32(127.5) - 1, training=False)) + bias
    np.testing.assert_allclose(answer(model, images), expected, atol=1e-4)


def keras_hub_s_deeplab(encoder, dilations):
    last = max(encoder.pyramid_outputs)
    return hub.models.DeepLabV3Backbone(
        image_encoder=encoder,
        spatial_pyramid_pooling_key=last,
        upsampling_size=2 ** (int(last[1:]) - 2),
        dilation_rates=list(dilations),
        low_level_feature_key="P2",
        projection_filters=48,
        image_shape=encoder.input.shape[1:],
    )


def mix_transformer(size=64):
    return {
        "layerwise_depths": [1, 1, 1, 1],
        "num_layers": 4,
        "layerwise_num_heads": [1, 1, 1, 1],
        "layerwise_sr_ratios": [8, 4, 2, 1],
        "max_drop_path_rate": 0.1,
        "layerwise_patch_sizes": [7, 3, 3, 3],
        "layerwise_strides": [4, 2, 2, 2],
        "image_shape": (size, size, 3),
        "hidden_dims": [8, 16, 24, 32],
    }


def resnet():
    return hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )


PRESETS = {
    "mix transformer": lambda: hub.models.MiTBackbone(**mix_transformer()),
    "segformer": lambda: hub.models.SegFormerBackbone(hub.models.MiTBackbone(**mix_transformer()), 16),
    "resnet": resnet,
    "deeplab_v3": lambda: keras_hub_s_deeplab(resnet(), (1, 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("shape", [(64, 64, 3), (90, 40, 1)])
def test_presets_keep_their_weights(name, shape, tmp_path):
    backbone = PRESETS[name]()
    backbone.save_to_preset(str(tmp_path / "preset"))
    model = mask_preset(tmp_path / "preset", shape, CLASSES, dropout=0.1)
    images = pixels(shape)
    logits = answer(model, images)
    assert logits.shape == (2, *shape[:2], CLASSES)
    names = {variable.path.rpartition("/")[2] for variable in model.variables}
    assert "kernel" in names
    held = [variable.numpy() for variable in model.variables]
    for variable in backbone.trainable_variables:
        assert any(np.array_equal(variable.numpy(), other) for other in held), variable.path
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(answer(keras.models.load_model(tmp_path / "model.keras"), images), logits, atol=1e-5)


def test_a_backbone_without_a_pyramid_is_refused(tmp_path):
    backbone = hub.models.VGGBackbone([1, 1], [4, 8], image_shape=(None, None, 3))
    backbone.save_to_preset(str(tmp_path / "preset"))
    with pytest.raises(ValueError, match="a VGGBackbone"):
        mask_preset(tmp_path / "preset", (64, 64, 3), CLASSES)


def test_layers_are_named_and_in_order():
    names = [layer.name for layer in list_weighted_layers(unet((32, 32, 1), 2, width=2, depth=1))]
    first = [f"encoder_0_{kind}_{number}" for number in (1, 2) for kind in ("conv", "norm")]
    assert names[:4] == first
    assert names[-1] == "classes"


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: unet((32, 32, 3), 2, width=0), "Received: width=0, depth=4."),
        (lambda: unet((32, 32, 3), 2, encoder="VGG16"), "`encoder` must be one of MobileNetV2, "),
        (lambda: unet((32, 32, 3), 2, encoder="MobileNetV2", weights="no/file"), "Received: weights='no/file'"),
        (lambda: deeplab_v3((32, 32, 3), 2, widths=(32, 64), blocks=(1, 1)), "the first width must be 64"),
        (lambda: segformer((32, 32, 3), 2, widths=(8, 8, 16, 32)), "distinct widths"),
        (lambda: segformer((32, 32, 3), 2, widths=(8, 16, 24, 31)), "`heads` must divide `widths`"),
    ],
)
def test_bad_parameters(build, text):
    with pytest.raises(ValueError) as error:
        build()
    assert text in str(error.value)
