"""Scripts that set no spaces between words."""

import pytest

from dlkit.text.scripts import has_spaceless_script, separate_characters, spaceless_share


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("ภาษาไทยไม่มีช่องว่าง", 1.0),
        ("今天天氣很好。", 1.0),
        ("カタカナ と ひらがな", 1.0),
        ("ພາສາລາວ ភាសាខ្មែរ မြန်မာ བོད", 1.0),
        ("Ça, c'est naïve! 42", 0.0),
        ("한국어는 띄어 씁니다", 0.0),
        ("עברית العربية हिन्दी", 0.0),
        ("ab 東京", 0.5),
        ("", 0.0),
        ("123 !?", 0.0),
    ],
)
def test_share_of_letters(text, share):
    assert spaceless_share([text]) == pytest.approx(share)
    assert has_spaceless_script(text) == (share > 0)


def test_characters_are_set_apart():
    assert separate_characters("iPhone 手机 x").split() == ["iPhone", "手", "机", "x"]
    assert separate_characters("plain text") == "plain text"
