"""A backbone from a folder."""

import pytest
from train_and_export import train_and_export


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["", "backbone"])
def test_an_image_backbone_from_a_folder_trains_and_exports(freeze, tmp_path):
    import keras_hub

    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    backbone.save_to_preset(tmp_path / "backbone")
    task = train_and_export("image_classification", tmp_path, network=f"preset:{tmp_path / 'backbone'}", freeze=freeze)
    trainable = [layer.name for layer in task.stages_.network.get_layer("backbone").layers if layer.trainable_weights]
    assert bool(trainable) == (freeze == "")
