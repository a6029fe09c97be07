"""Files elsewhere: over http from this machine, and by fsspec from memory."""

import functools
import gzip
import http.server
import sys
import threading

import pytest

from dlkit.columns import Label, Text
from dlkit.data import remote
from dlkit.data.header import header_of
from dlkit.data.read import read
from dlkit.data.read_chunks import read_chunks
from dlkit.data.read_options import ReadOptions
from dlkit.errors import DataError

REVIEWS = {"text": Text(), "label": Label()}
ROWS = b"text,label\ngood,a\nbad,b\n"


@pytest.fixture
def served(tmp_path):
    """A folder, and the address at which it is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *given):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_over_http(served):
    folder, address = served
    (folder / "a.csv").write_bytes(ROWS)
    (folder / "b.csv.gz").write_bytes(gzip.compress(ROWS))
    for source in (f"{address}/a.csv", f"{address}/a.csv?version=1", f"{address}/b.csv.gz"):
        table = read(source, REVIEWS)
        assert table.columns == {"text": ["good", "bad"], "label": ["a", "b"]}
        assert table.where(1) == f"{source}, line 3"
        assert header_of(source) == ["text", "label"]
        assert [len(part) for part in read_chunks(source, REVIEWS, ReadOptions())] == [2]
    assert len(read([f"{address}/a.csv", folder / "a.csv"], REVIEWS)) == 4
    with pytest.raises(DataError, match=r"gone.csv: the server returned 404"):
        read(f"{address}/gone.csv", REVIEWS)


def test_a_part_of_a_file_elsewhere_is_named_by_its_address_and_fetched_once(served, monkeypatch):
    folder, address = served
    (folder / "a.jsonl").write_text('{"text": "good", "label": "a"}\n')
    fetches = []
    web = remote._web
    monkeypatch.setattr(remote, "_web", lambda address: fetches.append(address) or web(address))
    (table,) = read_chunks(f"{address}/a.jsonl", REVIEWS, ReadOptions())
    assert table.source == f"{address}/a.jsonl"
    assert table.where(0) == f"{address}/a.jsonl, line 1"
    assert len(fetches) == 1


def test_no_server():
    with pytest.raises(DataError, match=r"cannot read http://127.0.0.1:9/a.csv: .*Check the address"):
        read("http://127.0.0.1:9/a.csv", REVIEWS)


def test_by_a_file_system(monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://data/a.csv", "wb") as file:
        file.write(ROWS)
    assert read("memory://data/a.csv", REVIEWS).columns["text"] == ["good", "bad"]
    with pytest.raises(DataError, match=r"cannot read memory://data/gone.csv"):
        read("memory://data/gone.csv", REVIEWS)
    with pytest.raises(DataError, match=r"there is no way to read nothing://"):
        read("nothing://a.csv", REVIEWS)
    for protocol, package in (("s3", "s3fs"), ("gs", "gcsfs")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(DataError, match=rf"reading {protocol}:// needs a package: pip install {package}"):
            read(f"{protocol}://bucket/a.csv", REVIEWS)
