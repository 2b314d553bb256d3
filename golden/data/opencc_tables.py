"""Makes the tables of the steps `simplified` and `traditional`, in the folder OUT.

    PYTHON opencc_tables.py OUT

Written against OpenCC 1.4.2 (Apache-2.0), whose Python runs this: the dictionaries of its t2s.json
and s2t.json are read with the tool in the package. Each table has the lines `key value`, sorted:
the first of the values that OpenCC lists, of the first dictionary that has the key. That this is
what OpenCC does, given the longest key that fits, is checked here: phrases come before characters
and have more characters.
"""
import json, lzma, os, subprocess, sys, tempfile

import opencc

CLIB = os.path.join(os.path.dirname(opencc.__file__), "clib")
SHARE = os.path.join(CLIB, "share", "opencc")


def read(file):
    with tempfile.NamedTemporaryFile("r", suffix=".txt") as out:
        command = [os.path.join(CLIB, "bin", "opencc_dict"), "-i", os.path.join(SHARE, file),
                   "-o", out.name, "-f", "ocd2", "-t", "text"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rows = [line.rstrip("\n").split("\t") for line in open(out.name) if "\t" in line]
    return {key: values.split(" ")[0] for key, values in rows}


def leaves(dict_):
    if dict_["type"] == "group":
        return [leaf for one in dict_["dicts"] for leaf in leaves(one)]
    return [dict_["file"]]


for config, name in ("t2s.json", "simplified"), ("s2t.json", "traditional"):
    settings = json.load(open(os.path.join(SHARE, config)))
    (step,) = settings["conversion_chain"]
    table = {}
    for file in leaves(step["dict"]):
        entries = read(file)
        phrases = "Phrases" in file
        assert all((len(key) > 1) == phrases for key in entries), file
        table = {**entries, **table}
    (compatible,) = settings["normalization"]
    compatible = read(compatible["dict"]["file"])
    assert all(len(key) == 1 for key in compatible)
    lines = [f"{key} {value}\n" for key, value in sorted(table.items())]
    lines += ["\n"] + [f"{key} {value}\n" for key, value in sorted(compatible.items())]
    path = os.path.join(sys.argv[1], f"{name}.txt.xz")
    with lzma.open(path, "wb", preset=9 | lzma.PRESET_EXTREME) as out:
        out.write("".join(lines).encode())
    chained = [key for key, value in table.items() if len(key) == 1 and value in table
               and table[value] != value]
    print(name, len(table), os.path.getsize(path), "chained:", "".join(chained)[:80])
