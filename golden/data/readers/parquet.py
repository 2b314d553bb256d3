"""Makes the Parquet tables beside this script and `expected-parquet.json`, what a reader must find.

Written and read back by pyarrow 26.0.1. Run: python3 parquet.py
"""

import datetime
import decimal
import json
import pathlib

import pyarrow
import pyarrow.parquet

HERE = pathlib.Path(__file__).parent
EXPECTED = {}
UTC = datetime.timezone.utc
DAY = datetime.date(2026, 2, 28)
MOMENT = datetime.datetime(2026, 2, 28, 12, 30, 1, 250_000)


def rows(count):
    """Rows with nulls, empty values, lists in lists, and every type that tables of text have."""
    for n in range(count):
        yield {
            "id": f"row {n}",
            "text": f"第{n}行：白日依山尽。\nLine {n} of the table, " + "long " * (n % 7 * 20),
            "label": ["good", "bad", None][n % 3],
            "score": n / 8 if n % 4 else None,
            "small": float(n) / 4,
            "count": n * 1_000_003 - 7,
            "unsigned": 2**64 - 1 - n,
            "byte": n - 3,
            "true": n % 5 == 0,
            "day": DAY + datetime.timedelta(days=n * 31) if n % 2 else None,
            "moment": MOMENT + datetime.timedelta(hours=n),
            "moment_utc": (MOMENT + datetime.timedelta(days=n)).replace(tzinfo=UTC),
            "price": decimal.Decimal(n * 1001 - 500) / 100,
            "tags": [None, [], ["a"], ["b", None, "c"]][n % 4],
            "grid": [[["x", "y"], []], [], None, [None, ["z"]]][n % 4],
            "place": {"city": f"city {n}", "at": {"x": n, "y": None}} if n % 3 else None,
            "links": [{"url": f"u{i}", "n": i} for i in range(n % 3)],
            "notes": [("k", n), ("l", None)] if n % 2 else [],
        }


SCHEMA = pyarrow.schema([
    ("id", pyarrow.string()),
    pyarrow.field("text", pyarrow.string(), nullable=False),
    ("label", pyarrow.string()),
    ("score", pyarrow.float64()),
    ("small", pyarrow.float32()),
    ("count", pyarrow.int64()),
    ("unsigned", pyarrow.uint64()),
    ("byte", pyarrow.int8()),
    ("true", pyarrow.bool_()),
    ("day", pyarrow.date32()),
    ("moment", pyarrow.timestamp("us")),
    ("moment_utc", pyarrow.timestamp("ms", tz="UTC")),
    ("price", pyarrow.decimal128(12, 2)),
    ("tags", pyarrow.list_(pyarrow.string())),
    ("grid", pyarrow.list_(pyarrow.list_(pyarrow.string()))),
    ("place", pyarrow.struct([
        ("city", pyarrow.string()),
        ("at", pyarrow.struct([("x", pyarrow.int32()), ("y", pyarrow.string())])),
    ])),
    ("links", pyarrow.list_(pyarrow.struct([("url", pyarrow.string()), ("n", pyarrow.int16())]))),
    ("notes", pyarrow.map_(pyarrow.string(), pyarrow.int32())),
])


def plain(value):
    """A value of pyarrow as JSON has it."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="auto").replace("+00:00", "Z")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return f"{value:.2f}"
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return {key: plain(item) for key, item in value}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def documents(path):
    """What pyarrow reads back."""
    for number, row in enumerate(pyarrow.parquet.read_table(path).to_pylist()):
        row = {key: plain(value) for key, value in row.items()}
        if "notes" in row and not row["notes"]:
            row["notes"] = {}
        identity, text = row.pop("id", None), row.pop("text")
        yield {"id": identity or f"{path.name}:{number + 1}", "text": text, "meta": row}


def write(name, table, **options):
    path = HERE / name
    pyarrow.parquet.write_table(table, path, store_schema=False, **options)
    EXPECTED[name] = list(documents(path))


def main():
    table = pyarrow.Table.from_pylist(list(rows(24)), SCHEMA)
    write("all-types.parquet", table, row_group_size=10, compression="snappy")
    flat = table.select(["id", "text", "label", "count", "byte", "score", "small", "tags"])
    for codec in ["none", "gzip", "brotli", "zstd", "lz4"]:
        write(f"{codec}.parquet", flat.slice(0, 8), compression=codec)
    encodings = {
        "id": "DELTA_BYTE_ARRAY",
        "text": "DELTA_LENGTH_BYTE_ARRAY",
        "count": "DELTA_BINARY_PACKED",
        "byte": "DELTA_BINARY_PACKED",
        "score": "BYTE_STREAM_SPLIT",
        "small": "BYTE_STREAM_SPLIT",
        "label": "PLAIN",
        "tags.list.element": "PLAIN",
    }
    write(
        "second-pages.parquet",
        flat,
        compression="zstd",
        use_dictionary=False,
        column_encoding=encodings,
        data_page_version="2.0",
        data_page_size=256,
        write_batch_size=4,
    )
    old = pyarrow.table({
        "text": pyarrow.array(["no annotation", "of a charset"], pyarrow.binary()),
        "moment": pyarrow.array([MOMENT, None], pyarrow.timestamp("ns")),
    })
    path = HERE / "old.parquet"
    pyarrow.parquet.write_table(old, path, use_deprecated_int96_timestamps=True, version="1.0")
    meta = [{"moment": MOMENT.isoformat()}, {"moment": None}]
    EXPECTED[path.name] = [
        {"id": f"{path.name}:{n + 1}", "text": text.decode(), "meta": meta[n]}
        for n, text in enumerate(old["text"].to_pylist())
    ]
    (HERE / "expected-parquet.json").write_text(
        json.dumps(EXPECTED, ensure_ascii=False) + "\n"
    )


main()
