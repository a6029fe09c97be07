"""A pretrained encoder from a folder."""

import pytest
from train_and_export import train_and_export


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["", "backbone", "token_embedding"])
def test_a_bert_from_a_hugging_face_folder_trains_and_exports(freeze, minilm, tmp_path):
    train_and_export("sentiment", tmp_path, network=minilm, freeze=freeze, max_tokens=16, batch_size=32)
