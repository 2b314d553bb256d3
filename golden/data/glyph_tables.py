"""Writes the tables that PDF's simple fonts rest on, by asking fontTools 4.68.0.

    python glyph_tables.py CRATES/data/src/readers/pdf

glyphs.txt: a line for each name of the Adobe Glyph List that stands for one character, `name code`
in hexadecimal. standard.txt: the standard encoding, `byte code` a line.
"""
import pathlib
import sys

from fontTools.agl import LEGACY_AGL2UV, toUnicode
from fontTools.encodings.StandardEncoding import StandardEncoding

folder = pathlib.Path(sys.argv[1])
glyphs = sorted((name, toUnicode(name)) for name in LEGACY_AGL2UV)
lines = [f"{name} {ord(text):x}" for name, text in glyphs if len(text) == 1]
(folder / "glyphs.txt").write_text("\n".join(lines) + "\n")
codes = [(byte, toUnicode(name)) for byte, name in enumerate(StandardEncoding)]
lines = [f"{byte:x} {ord(text):x}" for byte, text in codes if len(text) == 1]
(folder / "standard.txt").write_text("\n".join(lines) + "\n")
