"""Pairs of texts from two files and from translation memories; and which of them are left out"""

import json

import pytest

from dlkit.columns import Label
from dlkit.data.read import read
from dlkit.errors import DataError, HparamError
from dlkit.tasks.translation.columns import ParallelText
from dlkit.tasks.translation.filter_pairs import apply_filters, parse_filters

PAIR = {"source": ParallelText(), "target": ParallelText()}
TMX = """<?xml version="1.0" encoding="UTF-8"?>
<tmx version="1.4"><header srclang="{first}" datatype="plaintext"/><body>
<tu><tuv xml:lang="en-US"><seg>Press <bpt i="1">&lt;b&gt;</bpt>Stop<ept i="1">&lt;/b&gt;</ept> now.</seg></tuv>
<tuv xml:lang="es"><seg>Pulse <hi>Parar</hi> ya.</seg></tuv></tu>
<tu><tuv xml:lang="en-US"><seg>Only here.</seg></tuv></tu>
<tu><tuv xml:lang="es"><seg>Año «nuevo»</seg></tuv>
<tuv xml:lang="en-US"><prop type="x">y</prop><seg>New &amp; old</seg></tuv></tu>
{more}</body></tmx>"""


def refusal(source, columns=PAIR, **options):
    with pytest.raises(DataError) as caught:
        read(source, columns, **options)
    return str(caught.value)


def tmx(tmp_path, first="en-US", more=""):
    path = tmp_path / "memory.tmx"
    path.write_text(TMX.format(first=first, more=more), encoding="utf-8")
    return path


def test_two_texts_line_by_line(tmp_path):
    (tmp_path / "a.en").write_bytes("One.\r\n\r\nThree\u2028here".encode())
    (tmp_path / "a.es").write_bytes("\ufeffUno.\nDos.\nTres\n".encode())
    table = read(f"{tmp_path}/a.en,{tmp_path}/a.es", PAIR)
    assert table.columns == {"source": ["One.", "", "Three\u2028here"], "target": ["Uno.", "Dos.", "Tres"]}
    assert table.where(1) == "a.en and a.es, line 2"


def test_two_texts_that_do_not_fit(tmp_path):
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "b").write_text("1\n")
    source = f"{tmp_path}/a,{tmp_path}/b"
    assert "a has 2 lines and b has 1" in refusal(source)
    assert "two text columns" in refusal(source, {"text": ParallelText(), "label": Label()})
    assert "there is no" in refusal(f"{tmp_path}/a,{tmp_path}/c")


def test_a_translation_memory(tmp_path):
    table = read(tmx(tmp_path), PAIR)
    assert table.columns == {"source": ["Press Stop now.", "New & old"], "target": ["Pulse Parar ya.", "Año «nuevo»"]}
    assert table.where(1).endswith("memory.tmx, unit 3")


def test_the_languages_of_a_memory_may_be_said(tmp_path):
    table = read(tmx(tmp_path), PAIR, rename={"source": "es", "target": "EN"})
    assert table.columns["source"] == ["Pulse Parar ya.", "Año «nuevo»"]
    third = '<tu><tuv xml:lang="fr"><seg>Oui</seg></tuv></tu>'
    message = refusal(tmx(tmp_path, more=third))
    assert "no column 'target'" in message
    assert "'en-us', 'es', 'fr'" in message
    assert "no column" in refusal(tmx(tmp_path, first="*all*"))


def test_what_is_no_memory_is_refused(tmp_path):
    path = tmp_path / "x.tmx"
    path.write_text("<tmx><body>")
    assert "not a TMX file" in refusal(path)
    path.write_text("<tmx><body></body></tmx>")
    assert "has no translation units" in refusal(path)


def test_files_with_named_columns(tmp_path):
    (tmp_path / "a.tsv").write_text("source\ttarget\nOne.\tUno.\n")
    (tmp_path / "a.jsonl").write_text('{"en": "One.", "es": "Uno."}\n')
    assert read(tmp_path / "a.tsv", PAIR).columns == {"source": ["One."], "target": ["Uno."]}
    columns = {"source": "en", "target": "es"}
    assert read(tmp_path / "a.jsonl", PAIR, rename=columns).columns == {"source": ["One."], "target": ["Uno."]}


PAIRS = [
    ("a good day", "un buen día"),
    ("", "algo"),
    ("b", "  "),
    ("No.", "No."),
    ("short", "x" * 300),
    ("a good day", "un buen día"),
    ("a good day", "otro día"),
]


def select(filters, max_length_ratio=9.0):
    table = read([{"source": one, "target": other} for one, other in PAIRS], PAIR)
    kept = apply_filters(table, ("source", "target"), filters, max_length_ratio)
    return [int(kept.where(row).rpartition(" ")[2]) for row in range(len(kept))], kept.remarks


def test_pairs_are_counted_and_left_out_by_reason():
    rows, remarks = select("empty+ratio+duplicate")
    assert rows == [0, 3, 6]
    assert remarks == [
        "2 of 7 pairs with an empty side: dropped",
        "1 of 7 pairs with one side more than 9 times as long as the other, in characters: dropped",
        "1 of 7 pairs that are duplicates: dropped",
    ]


def test_pairs_are_counted_and_kept_where_nobody_asks():
    rows, remarks = select("")
    assert rows == [0, 1, 2, 3, 4, 5, 6]
    assert len(remarks) == 3
    assert all("kept" in remark for remark in remarks)
    assert select("duplicate")[0] == [0, 1, 2, 3, 4, 6]
    assert select("ratio", max_length_ratio=21.0)[0] == [0, 1, 2, 3, 4, 5, 6]


def test_a_table_without_a_good_pair_is_refused():
    table = read([{"source": "", "target": "x"}], PAIR)
    with pytest.raises(DataError, match="no pair remains"):
        apply_filters(table, ("source", "target"), "empty", 9.0)
    with pytest.raises(HparamError, match=r"'emty'.*Did you mean 'empty'"):
        parse_filters("emty")


VARIANTS = """<tmx version="1.4"><header srclang="en_US"/><body>
<tu><tuv xml:lang="en_US"><seg>One<ph x="1">&lt;br/&gt;</ph>two, <bpt i="1"/>three<ept i="1"/>.</seg></tuv>
<tuv xml:lang="it_IT"><seg>Uno</seg></tuv></tu>
<tu><tuv xml:lang="en-GB"><seg><ph/>Colour <ph/> here<ph/></seg></tuv><tuv xml:lang="it"><seg>Due</seg></tuv></tu>
<tu><tuv xml:lang="en-GB"><seg>Three</seg></tuv><tuv xml:lang="en-US"><seg>3</seg></tuv>
<tuv xml:lang="it"><seg>Tre</seg></tuv></tu>
<tu><tuv xml:lang="it"><seg>Quattro</seg></tuv></tu>
</body></tmx>"""


@pytest.mark.parametrize("rename", [{"source": "en", "target": "it"}, {}])
def test_variants_of_a_language_and_codes_and_units_left_out(tmp_path, rename):
    path = tmp_path / "memory.tmx"
    path.write_text(VARIANTS)
    table = read(path, PAIR, rename=rename)
    assert table.columns["source"] == ["One two, three.", "Colour here", "Three"]
    assert table.columns["target"] == ["Uno", "Due", "Tre"]
    left, several = table.remarks
    assert left.startswith("1 of 4 units skipped: ")
    assert "unit 4: no en" in left
    assert several.startswith("1 of 4 units have several texts of a language")
    one = read(path, PAIR, rename={"source": "en-US", "target": "it"})
    assert one.columns["source"] == ["One two, three.", "3"]
    assert one.remarks[0].startswith("2 of 4 units skipped: ")
    assert "unit 4: no en" in refusal(path, rename=rename, strict=True)


ROWS = [{"id": n, "translation": {"en": en, "it": it}} for n, (en, it) in enumerate([("One", "Uno"), ("Two", "Due")])]


def test_translations_inside_a_column(tmp_path):
    import pandas
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    for source in (tmp_path / "a.jsonl", tmp_path / "a.parquet", ROWS, pandas.DataFrame(ROWS)):
        for names in (("en", "it"), ("translation/en", "translation/it")):
            table = read(source, PAIR, rename=dict(zip(("source", "target"), names, strict=True)))
            assert table.columns == {"source": ["One", "Two"], "target": ["Uno", "Due"]}
    assert "'translation/en', 'translation/it'" in refusal(tmp_path / "a.jsonl")
    assert "no 'translation/it'" in refusal(
        [*ROWS, {"translation": {"en": "x"}}], rename={"source": "en", "target": "it"}
    )
