"""The one reader of records: quotes, delimiters, headers, packed files, and the same words for what is wrong."""

import gzip

import pytest

from dlkit.columns import Label, Text
from dlkit.data.header import header_of
from dlkit.data.read import read
from dlkit.data.read_chunks import read_chunks
from dlkit.data.read_options import ReadOptions
from dlkit.errors import DataError
from dlkit.tasks.object_detection.columns import Boxes
from dlkit.tasks.recommendation.catalogue import read_features
from dlkit.tasks.recommendation.interactions import read_interactions

REVIEWS = {"text": Text(), "label": Label()}


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("rows", "options", "texts"),
    [
        ('"Kit" of fonts\tx\n"open\ty\nso\tz\nclose"\tx\n', {}, ['"Kit" of fonts', '"open', "so", 'close"']),
        ('"a\tx\nb"\ty\n', {}, ['"a', 'b"']),  # two lone quotes swallow nothing
        ('"a ""b"""\tx\n"c\td"\ty\n\ne"f\tz\n', {}, ['a "b"', "c\td", 'e"f']),
        ('"a"\tx\nb "c"\ty\n', {"quotes": False}, ['"a"', 'b "c"']),
        ('"a\nb"\tx\n', {"quotes": True}, ["a\nb"]),
        ('"a"\tx\n"b"" c\ty\n', {}, ['"a"', '"b"" c']),
    ],
)
def test_a_tsv_has_quotes_only_where_all_are_well_formed(tmp_path, rows, options, texts):
    path = write(tmp_path, "a.tsv", f"text\tlabel\n{rows}")
    table = read(path, REVIEWS, **options)
    assert table.columns["text"] == texts
    lone = options == {} and any(text.startswith('"') for text in texts)
    assert ["a quote, which is read as text in a tsv" in remark for remark in table.remarks] == [True] * lone
    (part,) = read_chunks(path, REVIEWS, ReadOptions(**options))
    assert part.columns["text"] == texts


def test_a_csv_may_have_no_quotes(tmp_path):
    path = write(tmp_path, "a.csv", 'text,label\n"a,x\nb" c,y\n')
    assert read(path, REVIEWS, quotes=False).columns["text"] == ['"a', 'b" c']
    with pytest.raises(DataError, match=r"line 2 has an unclosed quote.*quotes=False"):
        read(path, REVIEWS)


def test_delimiters_and_tables_without_a_header(tmp_path):
    semicolons = write(tmp_path, "a.csv", "text;label\na, b;x\n")
    assert read(semicolons, REVIEWS, delimiter=";").row(0) == {"text": "a, b", "label": "x"}
    assert read(semicolons, REVIEWS, delimiter="semicolon").row(0)["label"] == "x"
    bare = write(tmp_path, "b.txt", "x\tone\ny\ttwo\n")
    table = read(bare, REVIEWS, delimiter="tab", column_names=["label", "text"])
    assert table.columns == {"text": ["one", "two"], "label": ["x", "y"]}
    assert table.where(0).endswith("b.txt, line 1")
    assert header_of(bare, ReadOptions(delimiter="\t", column_names=["p", "q"])) == ["p", "q"]
    with pytest.raises(DataError, match=r"line 1: expected 3 cells"):
        read(bare, {"text": Text()}, delimiter="\t", column_names=["a", "text", "c"])
    with pytest.raises(DataError, match="must be one character"):
        read(bare, REVIEWS, delimiter="||")
    with pytest.raises(DataError, match="must be distinct"):
        read(bare, REVIEWS, column_names=["a", "a"])
    with pytest.raises(DataError, match="without a header"):
        read(write(tmp_path, "c.jsonl", "{}"), REVIEWS, column_names=["text", "label"])


def test_packed_files_and_ndjson(tmp_path):
    csv = write(tmp_path, "a.csv.gz", gzip.compress(b"text,label\na,x\n"))
    tsv = write(tmp_path, "a.tsv.gz", gzip.compress(b"text\tlabel\na\tx\n"))
    rows = b'{"text": "a", "label": "x"}\n'
    lines = write(tmp_path, "a.jsonl.gz", gzip.compress(rows))
    for path in (csv, tsv, lines, write(tmp_path, "a.ndjson", rows)):
        assert read(path, REVIEWS).columns == {"text": ["a"], "label": ["x"]}
        assert header_of(path) == ["text", "label"]
        assert [part.columns["text"] for part in read_chunks(path, REVIEWS, ReadOptions())] == [["a"]]
    with pytest.raises(DataError, match="not a readable gzip archive"):
        read(write(tmp_path, "b.csv.gz", b"text,label\n"), REVIEWS)
    with pytest.raises(DataError, match="not a readable gzip archive"):
        read(write(tmp_path, "b.csv.gz", csv.read_bytes()[:-9]), REVIEWS)


BOXES = {"image": Text(), "boxes": Boxes()}
READERS = {
    "labels": lambda path: read(path, REVIEWS),
    "boxes": lambda path: read(path, BOXES),
    "interactions": read_interactions,
    "header": header_of,
    "features": lambda path: read_features(str(path), "item_id", ["1"]),
}


@pytest.mark.parametrize("reader", READERS)
def test_utf_16_without_a_mark_is_named_by_all(tmp_path, reader):
    for encoding in ("utf-16-le", "utf-16-be"):
        path = write(tmp_path, "a.csv", "text,label\ngood,a\n".encode(encoding))
        with pytest.raises(DataError, match=f"line 1: .*looks like UTF-16.*iconv -f {encoding.replace('16-', '16')}"):
            READERS[reader](path)


@pytest.mark.parametrize("reader", ["labels", "boxes", "interactions"])
def test_semicolons_are_named_by_all(tmp_path, reader):
    path = write(tmp_path, "a.csv", "text;label\ngood;a\n")
    with pytest.raises(
        DataError, match=r"separated by a comma; the first line seems to use the semicolon.*delimiter=\"semicolon\""
    ):
        READERS[reader](path)


def test_decimal_commas_are_named(tmp_path):
    path = write(tmp_path, "a.csv", "user_id,item_id,rating\na,b,1,5\n")
    with pytest.raises(DataError, match=r"line 2: expected 3 cells.*decimal commas"):
        read_interactions(path)
    features = write(tmp_path, "f.csv", 'item_id,x\n1,"1,5"\n2,NA\n')
    with pytest.raises(DataError, match="column 'x': numbers have decimal commas"):
        read_features(str(features), "item_id", ["1"])


def test_a_list_or_a_pattern_of_files(tmp_path):
    paths = [
        write(tmp_path, "p-1.csv", "text,label\na,x\n"),
        write(tmp_path, "p-2.csv", "label,text\ny,b\nx,c\n"),
    ]
    for source in (paths, [str(path) for path in paths], str(tmp_path / "p-*.csv"), tmp_path / "p-?.csv"):
        table = read(source, REVIEWS)
        assert table.columns == {"text": ["a", "b", "c"], "label": ["x", "y", "x"]}
        assert [table.where(row) for row in (0, 2)] == [f"{paths[0]}, line 2", f"{paths[1]}, line 3"]
        assert header_of(source) == ["text", "label"]
        assert [part.columns["text"] for part in read_chunks(source, REVIEWS, ReadOptions())] == [["a"], ["b", "c"]]
    with pytest.raises(DataError, match="no file matches the pattern"):
        read(str(tmp_path / "q-*.csv"), REVIEWS)
    odd = write(tmp_path, "p-[3].csv", "text,label\nd,x\n")  # a name and no pattern
    assert read(str(odd), REVIEWS).columns["text"] == ["d"]


def test_names_are_compared_composed(tmp_path):
    path = write(tmp_path, "a.csv", "te\u0301xt,label\na,cafe\u0301\nb,caf\u00e9\n")
    table = read(path, REVIEWS, rename={"text": "t\u00e9xt"})
    assert table.raw_column("label", Label()) == ["caf\u00e9".encode()] * 2
    twice = write(tmp_path, "b.csv", "e\u0301,\u00e9,label\na,b,c\n")
    with pytest.raises(DataError, match="2 columns named"):
        read(twice, REVIEWS, rename={"text": "\u00e9"})
