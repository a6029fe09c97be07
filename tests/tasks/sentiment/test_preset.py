"""A pretrained encoder from a folder."""

import pytest
from trained import trained


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["", "backbone", "token_embedding"])
def test_a_bert_from_a_hugging_face_folder_trains_and_exports(freeze, minilm, tmp_path):
    trained("sentiment", tmp_path, network=minilm, freeze=freeze, max_tokens=16, batch_size=32)
