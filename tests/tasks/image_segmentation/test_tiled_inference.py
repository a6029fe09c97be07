"""Large images by overlapping windows: no seam, no memory of other rows, and one window is the network itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.image_segmentation.logits_to_masks import LogitsToMasks
from dlkit.tasks.image_segmentation.mask_png import decode_mask, encode_mask
from dlkit.tasks.image_segmentation.tiled_inference import TiledInference, count_tiles, extract_tiles, place_tiles
from dlkit.vision.decode_image import DecodeImage
from dlkit.vision.png import encode_image

SIZE = (16, 24)


def network(seed=0):
    """Looks at 9 x 9 pixels, so that a window's border changes what it says: three classes."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((*SIZE, 1), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(image)
    for _ in range(2):
        x = keras.layers.Conv2D(8, 5, padding="same", activation="relu")(x)
    return keras.Model({"image": image}, {"logits": keras.layers.Conv2D(3, 1)(x)})


def brightness():
    """Sees one pixel alone: class 0 where it is dark, 1 where it is gray, 2 where it is bright."""
    image = keras.Input((*SIZE, 1), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(image)
    logits = keras.layers.Conv2D(3, 1)
    model = keras.Model({"image": image}, {"logits": logits(x)})
    logits.set_weights([np.array([[[[-9.0, 0.0, 9.0]]]]), np.array([-5.0, 0.0, -5.0])])
    return model


def picture(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 1)).astype(np.uint8)


def answers(layer, *pictures):
    return [
        decode_mask(png) for png in layer(tf.constant([encode_image(each) for each in pictures]))["mask_bytes"].numpy()
    ]


def test_an_image_of_the_network_s_size_gets_the_network_s_answer():
    model, image = network(), picture(SIZE)
    plain = LogitsToMasks("pad")(model({"image": image[None]})["logits"], tf.constant([SIZE]))
    np.testing.assert_array_equal(answers(TiledInference(model), image)[0], decode_mask(plain.numpy()[0]))


@pytest.mark.parametrize(
    "size",
    [
        (16, 24),
        (17, 25),
        pytest.param((61, 83), marks=pytest.mark.slow),
        (16, 200),
        (100, 24),
        (5, 90),
        (90, 5),
        (1, 1),
    ],
)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.9])
def test_every_pixel_gets_its_own_answer(size, overlap):
    image = picture(size)
    expected = np.digitize(image[..., 0], [127.5 * (1 - 5 / 9), 127.5 * (1 + 5 / 9)])
    np.testing.assert_array_equal(answers(TiledInference(brightness(), overlap), image)[0], expected)


def blended(image, model, overlap):
    """The same with NumPy and no strips: sums over the whole image."""
    (height, width), size = SIZE, image.shape[:2]
    total, weights = np.zeros((*size, 3)), np.zeros((*size, 1))
    window = np.outer(*(np.sin((np.arange(side) + 0.5) * np.pi / side) ** 2 for side in SIZE))[..., None]
    for top in starts(size[0], height, overlap):
        for left in starts(size[1], width, overlap):
            part = np.s_[top : top + height, left : left + width]
            total[part] += window * model({"image": image[part][None]})["logits"].numpy()[0]
            weights[part] += window
    return np.argmax(total / weights, axis=-1)


def starts(length, window, overlap):
    step = max(round(window * (1 - overlap)), 1)
    count = -(-(length - window) // step) + 1
    return [round(number * (length - window) / max(count - 1, 1)) for number in range(count)]


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_windows_are_blended_as_in_numpy(overlap):
    model, image = network(), picture((53, 70))
    made = answers(TiledInference(model, overlap), image)[0]
    expected = blended(image, model, overlap)
    assert (made != expected).mean() < 1e-3
    assert (np.roll(made, 1, 1) != expected).mean() > 0.1


def test_repeated_content_has_no_seam():
    """A pattern of a period of 4, far from the image's border: each place of the pattern has one answer everywhere."""
    model, image = network(), np.tile(picture((4, 4)), (16, 24, 1))

    def agreement(overlap):
        mask = answers(TiledInference(model, overlap), image)[0][8:-8, 12:-12]
        places = [mask[y::4, x::4].ravel() for y in range(4) for x in range(4)]
        return np.mean([np.bincount(place).max() / place.size for place in places])

    assert agreement(0.5) > 0.99
    assert agreement(0.0) < 0.9  # planted: windows side by side show their borders


def test_a_row_answers_alone_as_in_any_batch():
    layer = TiledInference(network())
    pictures = [picture(size, seed) for seed, size in enumerate([(20, 30), (90, 26), (16, 24), (3, 3)])]
    together = answers(layer, *pictures)
    for image, mask in zip(pictures, together, strict=True):
        assert mask.shape == image.shape[:2]
        np.testing.assert_array_equal(answers(layer, image)[0], mask)


def test_it_survives_its_file(tmp_path):
    encoded = keras.Input((), dtype="string", name="encoded_image")
    model = keras.Model({"encoded_image": encoded}, TiledInference(network(), 0.5)(encoded))
    model.save(tmp_path / "decode.keras")
    again = keras.models.load_model(tmp_path / "decode.keras", compile=False)
    files = tf.constant([encode_image(picture((40, 40)))])
    assert (
        again({"encoded_image": files})["mask_bytes"].numpy() == model({"encoded_image": files})["mask_bytes"].numpy()
    )


def test_windows_are_spread_from_border_to_border():
    assert place_tiles(tf.constant(100), 40, 3).numpy().tolist() == [0, 30, 60]
    assert place_tiles(tf.constant(40), 40, 1).numpy().tolist() == [0]
    assert count_tiles(100, 40, (40, 40)) == (3, 1)


def test_training_windows_cover_the_image_with_its_mask():
    image = picture((40, 30))
    mask = (image[..., 0] // 64).astype(np.uint8)
    files = tf.constant([encode_image(image), encode_image(image[:5])])
    masks = tf.constant([encode_mask(mask), encode_mask(mask[:5])])
    counts = count_tiles(40, 30, SIZE)
    images, ids, errors = extract_tiles(files, masks, DecodeImage(*SIZE, 1, max_pixels=10_000), counts)
    assert not any(errors.numpy())
    assert images.shape == (2 * 6, *SIZE, 1)
    assert ids.shape == (2 * 6, *SIZE)
    corners = [(top, left) for top in (0, 12, 24) for left in (0, 6)]
    for window, ids_of, (top, left) in zip(images, ids, corners, strict=False):
        np.testing.assert_array_equal(window, image[top : top + 16, left : left + 24])
        np.testing.assert_array_equal(ids_of, mask[top : top + 16, left : left + 24])
    low = ids[6].numpy()  # of 5 lines in 16: 5 above them
    np.testing.assert_array_equal(low[5:10], mask[:5, :24])
    assert (np.delete(low, range(5, 10), axis=0) == 255).all()
    assert not np.delete(images[6], range(5, 10), axis=0).any()


def test_a_broken_file_is_named():
    made = TiledInference(brightness())(tf.constant([encode_image(picture((5, 5))), b"hello"]))
    assert [error.decode()[:10] for error in made["error"].numpy()] == ["", "not a JPEG"]


def test_a_wrong_overlap_is_refused():
    with pytest.raises(ValueError, match=r"Received: overlap=1\.0"):
        TiledInference(brightness(), 1.0)
