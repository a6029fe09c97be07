"""Interactions from every source, in their order; protocols by hand; catalogues and features."""

import numpy as np
import pytest

from dlkit.columns import Id, Timestamp
from dlkit.data import in_parts
from dlkit.data.read import read
from dlkit.errors import DataError, HparamError
from dlkit.tasks.recommendation.catalogue import catalogue_of, inspect_features, read_features
from dlkit.tasks.recommendation.columns import Items, Rating
from dlkit.tasks.recommendation.interactions import read_interactions
from dlkit.tasks.recommendation.protocols import part

ROWS = {"user_id": Id(optional=True), "recent": Items(), "next": Items()}
TABLE = {
    "user_id": ["b", "a", "b", "a", "b", "b"],
    "item_id": [7, 8, 9, 7, 7, 5],
    "rating": [1, 2, 3, 4, 5, 5],
    "timestamp": [30, 20, 10, 25, 40, 35],
}
ORDERED = [("a", [8, 7]), ("b", [9, 5, 7])]  # 7 again: the last time counts


def users(table):
    return sorted(zip(table.columns["user_id"], list(table.columns["next"]), strict=True))


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_table_gives_rows_of_users_by_time():
    table = read(TABLE, ROWS)
    assert users(table) == ORDERED
    assert list(table.columns["recent"]) == [[], []]
    assert "user 'b'" in table.where(0)
    assert table.remarks == ["1 of 6 interactions repeat a pair of user and item: the last one is used"]


def test_without_stamps_the_order_of_the_table_counts():
    table = read({name: TABLE[name] for name in ("user_id", "item_id")}, ROWS)
    assert users(table) == [("a", [8, 7]), ("b", [9, 7, 5])]


@pytest.mark.parametrize("rows", [2, 100])
@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "frame", "list"])
def test_every_source_gives_the_same_interactions(kind, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(in_parts, "ROWS", rows)  # parts of files
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(TABLE)
    if kind == "csv":
        source = write(tmp_path, "t.csv", "\ufeff" + frame.to_csv(index=False))
    elif kind == "tsv":
        source = write(tmp_path, "t.tsv", frame.to_csv(index=False, sep="\t"))
    elif kind == "parquet":
        source = str(tmp_path / "t.parquet")
        frame.to_parquet(source)
    else:
        source = frame if kind == "frame" else frame.to_dict("records")
    found = read_interactions(source)
    texts = kind in ("csv", "tsv")
    expected = [(user, [str(item) for item in items] if texts else items) for user, items in ORDERED]
    assert users(read(source, ROWS)) == expected
    order = np.argsort([found.users[user] for user in found.user], kind="stable")
    assert found.rating[order].tolist() == [2, 4, 3, 5, 5]
    assert found.time[order].tolist() == [20, 25, 10, 35, 40]


def test_other_names_and_dates():
    renamed = {"who": ["a", "a"], "movie_id": [1, 2], "timestamp": ["2024-03-02", "2024-03-01T10:00"]}
    assert users(read(renamed, ROWS, rename={"user_id": "who"})) == [("a", [2, 1])]
    with pytest.raises(DataError, match="no column 'whom'"):
        read(renamed, ROWS, rename={"whom": "who"})


def test_rows_of_users_stay_as_they_are():
    given = {"recent": [["x"], []], "next": [["y", "z"], ["x"]]}
    table = read(given, ROWS)
    assert table.columns == {"user_id": ["", ""], **given}
    frames = [{"user_id": 3, "recent": "x|y", "next": "z"}]
    assert read(frames, ROWS).raw(0, ROWS) == {"user_id": b"3", "recent": [b"x", b"y"], "next": [b"z"]}
    with pytest.raises(DataError, match="no 'next'"):
        read({"user_id": ["a"], "recent": [[]]}, ROWS)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("user_id,item_id\na,1\nb\n", "line 3: expected 2 cells"),
        ("user_id,item_id\n,1\n,2\n", "no rows.*line 2: the user_id is empty"),
        ("user_id;item_id\na;1\n", "semicolon"),
        ("user_id,thing\na,1\n", "no column 'item_id'"),
        ("user_id,item_id,timestamp\na,1,soon\n", "line 2.*expected a time"),
        ("user_id,item_id,timestamp\na,1,inf\n", "line 2: the timestamp is not a finite number"),
        ("user_id,item_id\n", "no rows"),
        ("", "empty"),
    ],
)
def test_what_is_broken_is_named(broken, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, "t.csv", broken), ROWS)


def test_columns_take_what_they_say():
    assert [Id().raw(value) for value in ("ä", 3, 3.0, np.int64(4), b"x", None)] == [
        "ä".encode(), b"3", b"3", b"4", b"x", b"",
    ]  # fmt: skip
    for value in (3.5, True, {}, b"\xff"):
        with pytest.raises(DataError):
            Id().raw(value)
    assert Items().raw(["a", "", 3]) == [b"a", b"3"]
    assert Items().raw([]) == Items().raw("") == [b""]
    assert Items().from_request(Items().to_request([b"a"])) == [b"a"]
    for value in (3, None, {"a": 1}):
        with pytest.raises(DataError):
            Items().raw(value)
    assert Rating().raw("4.5") == 4.5
    assert Timestamp().raw("1970-01-02") == 86400.0
    for value in ("good", None, float("inf")):
        with pytest.raises(DataError):
            Rating().raw(value)


def many():
    random = np.random.RandomState(0)
    pairs = [(user, item) for user in range(20) for item in random.permutation(30)[: 4 + user % 5]]
    times = random.permutation(len(pairs)).tolist()
    return {"user_id": [user for user, _ in pairs], "item_id": [int(item) for _, item in pairs], "timestamp": times}


def rows(table):
    return set(zip(table["user_id"], table["item_id"], table["timestamp"], strict=True))


@pytest.mark.parametrize("protocol", ["leave_last_out", "random_75_25", "random_80_20", "by_time"])
def test_a_protocol_parts_all_and_nothing_twice(protocol):
    train, test = part(many(), protocol, seed=3)
    assert not rows(train) & rows(test)
    assert rows(train) | rows(test) == rows(many())
    assert part(many(), protocol, seed=3) == (train, test)
    if protocol.startswith("random"):
        assert part(many(), protocol, seed=4) != (train, test)


def test_what_each_protocol_tests_on():
    source = many()
    train, test = part(source, "leave_last_out")
    for user in range(20):
        times = [time for who, _, time in rows(source) if who == user]
        assert [time for who, _, time in rows(test) if who == user] == [max(times)]
    _, test = part(source, "random_75_25")
    for user in range(20):
        count = source["user_id"].count(user)
        assert test["user_id"].count(user) == count - round(0.75 * count)
    assert len(part(source, "random_80_20")[1]["user_id"]) == round(len(source["user_id"]) / 5)
    train, test = part(source, "by_time")
    assert max(train["timestamp"]) < min(test["timestamp"])
    with pytest.raises(DataError, match="no column 'timestamp'"):
        part({name: source[name] for name in ("user_id", "item_id")}, "by_time")
    with pytest.raises(HparamError, match="Did you mean 'by_time'"):
        part(source, "by_times")


def test_the_future_changes_nothing_of_what_is_trained_on():
    source = many()
    train, test = part(source, "by_time")
    changed = {name: list(values) for name, values in source.items()}
    for row, time in enumerate(source["timestamp"]):
        if time >= min(test["timestamp"]):
            changed["item_id"][row] = 1000 + row if row % 2 else changed["item_id"][row - 1]  # or had before
    assert part(changed, "by_time")[0] == train
    changed["item_id"][source["timestamp"].index(0)] = 5000  # planted: the past does
    assert part(changed, "by_time")[0] != train


def test_a_catalogue_counts_and_numbers_by_popularity():
    table = read(
        {
            "user_id": ["a", "", "b", "a"],
            "recent": [["x"], ["y"], [], []],
            "next": [["y"], ["y", "z"], ["y"], ["x", "w"]],
        },
        ROWS,
    )
    known = catalogue_of(table)
    assert known.users == ["a", "b"]
    assert known.items == ["y", "w", "x", "z"]
    assert known.counts.tolist() == [0, 3, 1, 1, 1]
    assert [taken.tolist() for taken in known.taken] == [[1, 3, 2], [1]]  # x again: at its last place
    assert [taken.tolist() for taken in known.nameless] == [[1, 4]]
    assert not known.whole
    assert catalogue_of(read(TABLE, ROWS)).whole


def test_features_are_numbers_and_words(tmp_path):
    path = write(tmp_path, "f.csv", "item_id,year,kinds,note\n1,1990,a|b,\n2,2000,b,\n3,,a|c,\n")
    features = read_features(path, "item_id", ["2", "1", "9"])
    assert features.shape == (4, 3)  # a year, a and b; c stands once
    np.testing.assert_allclose(features[1], [1, 0, 1])
    np.testing.assert_allclose(features[2], [-1, 0.5**0.5, 0.5**0.5], rtol=1e-6)
    assert not features[[0, 3]].any()
    with pytest.raises(DataError, match="no column 'user_id'"):
        read_features(path, "user_id", ["1"])
    with pytest.raises(DataError, match="duplicate id"):
        read_features(write(tmp_path, "g.csv", "item_id,x\n1,2\n1,3\n"), "item_id", ["1"])


def test_rows_with_empty_cells_are_left_out_and_named(tmp_path):
    rows = "user_id,item_id,rating,timestamp\na,1,5,10\n,2,4,11\na,,4,12\nb,3,NA,13\nb,4,3,\nb,5,2,15\n"
    path = write(tmp_path, "a.csv", rows)
    table = read(path, ROWS)
    assert users(table) == [("a", ["1"]), ("b", ["3", "5"])]
    remark, unrated = table.remarks
    assert remark.startswith(f"3 of 6 rows skipped: {path}, line 3: the user_id is empty; {path}, line 4: the item_id")
    assert unrated == f"1 of 6 ratings are not numbers and are treated as missing: {path}, line 5"
    (remark,) = read_interactions(path, rated=True).remarks
    assert remark.startswith("4 of 6 rows skipped") and "line 5: the rating is empty" in remark
    with pytest.raises(DataError, match="line 3: the user_id is empty"):
        read(path, ROWS, strict=True)
    given = {"user_id": ["a", None, "b"], "item_id": [1, 2, 3], "rating": np.array([1.0, 2.0, np.nan])}
    assert read_interactions(given, rated=True).users == ["a"]
    assert read_interactions(given).users == ["a", "b"]


def test_features_of_no_item_are_refused_and_missing_numbers_are_none(tmp_path):
    path = write(tmp_path, "f.csv", "item_id,year\n1.0,2001\n2.0,2002\n")
    with pytest.raises(DataError, match=r"none of the 2 ids in 'item_id', such as '1.0', is among .*such as '1'"):
        read_features(path, "item_id", ["1", "2"])
    path = write(tmp_path, "f.csv", "item_id,year\n1,2001\n2,NA\n3,2003\n")
    features = read_features(path, "item_id", ["1", "2", "3"])
    assert features[1:, 0].tolist() == [-1.0, 0.0, 1.0]


def test_lists_of_ids_in_cells():
    cells = ["7|8", "[7, 8]", "['7', '8']", '["7", "8"]', "['7' '8']"]
    for cell in cells:
        assert Items().raw(cell) == [b"7", b"8"]
    rows = {"user_id": list("abcde"), "recent": [""] * 5, "next": cells}
    known = catalogue_of(read(rows, ROWS))
    assert sorted(known.items) == ["7", "8"]
    assert known.counts.tolist() == [0, 5, 5]
    assert Items().raw("{3f-25}|(1)") == [b"{3f-25}", b"(1)"]
    with pytest.raises(DataError, match="list"):
        Items().raw("['7', ['8']]")


def tied():
    """Each user had five of twelve items at one time, and two before."""
    rows = [
        (f"u{user}", f"i{(user + place) % 12}", 9 if place > 1 else place) for user in range(30) for place in range(7)
    ]
    rows += [("u0", "i3", 9)]  # again, and rated another way
    ratings = [1 + number % 5 for number in range(len(rows))]
    return [dict(zip(("user_id", "item_id", "timestamp", "rating"), (*row, rating), strict=True))
            for row, rating in zip(rows, ratings, strict=True)]  # fmt: skip


@pytest.mark.parametrize("protocol", ["leave_last_out", "by_time"])
def test_ties_in_time_are_broken_alike_in_a_shuffled_file(protocol):
    source = tied()
    shuffled = [source[row] for row in np.random.default_rng(0).permutation(len(source))]
    as_texts = [{name: str(value) for name, value in row.items()} for row in shuffled]

    def parts(data):
        made = part(data, protocol)
        return [sorted(zip(*map(list, held.values()), strict=True)) for held in made]

    assert parts(source) == parts(shuffled) == parts(as_texts)
    for data in (shuffled, as_texts):
        assert users(read(data, ROWS)) == users(read(source, ROWS))


def test_ties_in_time_are_not_in_the_order_of_ids():
    """Else a network would learn from it which item comes next."""
    histories = [items[2:] for _, items in users(read(tied(), ROWS))]
    numbers = np.array([[int(item[1:]) for item in items] for items in histories])
    assert 0.3 < np.mean(np.diff(numbers) > 0) < 0.7
    assert len({tuple(np.argsort(row)) for row in numbers.tolist()}) > 15  # nor in one order for all users


def test_of_one_pair_at_one_time_the_higher_rating_is_the_last():
    rows = {"user_id": ["a"] * 3, "item_id": ["x"] * 3, "timestamp": [1, 1, 1], "rating": [2, 5, 3]}
    assert read_interactions(rows).rating.tolist() == [5]
    assert read_interactions({name: values[::-1] for name, values in rows.items()}).rating.tolist() == [5]


def test_a_rating_that_is_none_leaves_no_row_out_where_it_does_not_count(tmp_path):
    for cell in ("", "NA", "good", "1e999"):
        path = write(tmp_path, "a.csv", f"user_id,item_id,rating\na,1,5\na,2,{cell}\nb,3,2\n")
        table = read(path, ROWS, strict=True)
        assert users(table) == [("a", ["1", "2"]), ("b", ["3"])]
        assert table.remarks == [f"1 of 3 ratings are not numbers and are treated as missing: {path}, line 3"]
    rows = {"user_id": ["a", "b"], "item_id": [1, 2], "rating": ["PG", "R"]}
    assert read_interactions(rows).rating is None


@pytest.mark.parametrize(
    ("cells", "numbers", "said"),
    [
        (["1", "2", "unknown", "4"], True, "1 of 4 cells are not numbers and count as empty: 'unknown'"),
        (["1", "2", "", "x", "y"], False, ""),
        (["1", "2", "3", "4", "5", "?!", "x"], False, "2 of 7 cells are not numbers and make the column categorical"),
        ([str(n) for n in range(18)] + ["a", "b"], True, "2 of 20 cells are not numbers and count as empty: 'a', 'b'"),
        (["1|2", "1", "2", "2"], False, ""),  # lists of codes
        (["a", "b", "a", "7"], False, ""),
    ],
)
def test_one_bad_cell_does_not_make_words_of_numbers(cells, numbers, said, tmp_path):
    rows = "".join(f"{row},{cell}\n" for row, cell in enumerate(cells))
    path = write(tmp_path, "f.csv", f"item_id,year\n{rows}")
    _, remarks = inspect_features(path, "item_id")
    assert len(remarks) == bool(said)
    assert all(said in remark for remark in remarks)
    ids = [str(row) for row in range(len(cells))]
    if cells == ["1", "2", "", "x", "y"]:  # no word duplicate id
        with pytest.raises(DataError, match="no column of numbers or of repeated categories"):
            read_features(path, "item_id", ids)
        return
    if numbers:
        found = read_features(path, "item_id", ids)[1:]
        there = np.array([float(cell) if cell.isdigit() else np.nan for cell in cells])
        expected = np.nan_to_num((there - np.nanmean(there)) / np.nanstd(there))
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)


def test_a_column_of_some_files_alone_is_refused(tmp_path):
    files = [
        write(tmp_path, "a.csv", "user_id,item_id,rating\na,1,5\n"),
        write(tmp_path, "b.csv", "user_id,item_id\na,2\n"),
    ]
    with pytest.raises(DataError, match="the column 'rating' is missing in some files"):
        read_interactions(files)
