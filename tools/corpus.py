#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the demo's two CSV files out of Debian packages (standard library only).

  corpus.py packages OUT.csv           the package index that `apt-get update` leaves on this machine
  corpus.py books OUT.csv FOLDER       six Jane Austen novels and the King James Bible, a row a
                                       chapter; FOLDER holds the unpacked package
                                       r-cran-janeaustenr, bible-kjv is installed
"""
import bz2
import csv
import lzma
import os
import re
import struct
import subprocess
import sys
import zlib

# ---- the package index ------------------------------------------------------------------------------
# CSV column, field of the index, how its text becomes the cell ("" is null)
PACKAGE_COLUMNS = [
    ("package", "Package"), ("version", "Version"), ("architecture", "Architecture"),
    ("section", "Section"), ("priority", "Priority"), ("source", "Source"),
    ("maintainer", "Maintainer"), ("installed_kib", "Installed-Size"), ("download_bytes", "Size"),
    ("essential", "Essential"), ("multi_arch", "Multi-Arch"), ("depends", "Depends"),
    ("homepage", "Homepage"), ("description", "Description"), ("tags", "Tag"),
]


def index_files():
    names = subprocess.run(["apt-get", "indextargets", "--format", "$(FILENAME)",
                            "Created-By: Packages"], capture_output=True, text=True, check=True)
    return [name for name in names.stdout.split("\n") if name and os.path.exists(name)]


def index_records(text):
    for stanza in text.split("\n\n"):
        record, field = {}, None
        for line in stanza.split("\n"):
            if line[:1] == " " and field:
                record[field] += "\n" + line[1:]
            elif ":" in line:
                field, value = line.split(":", 1)
                record[field] = value.strip()
        if "Package" in record:
            yield record


def packages(out_path):
    files = index_files()
    if not files:
        sys.exit("corpus.py: no package index on this machine; `apt-get update` fetches it")
    rows = 0
    with open(out_path + ".part", "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(name for name, _ in PACKAGE_COLUMNS)
        for path in files:
            text = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", path],
                                  capture_output=True, check=True).stdout.decode("utf-8", "replace")
            for record in index_records(text):
                essential = {"yes": "true", "no": "false"}.get(record.get("Essential", ""), "")
                record["Essential"] = essential
                writer.writerow(record.get(field, "") for _, field in PACKAGE_COLUMNS)
                rows += 1
    os.replace(out_path + ".part", out_path)
    print(f"{out_path}: {rows} packages, {os.path.getsize(out_path)} bytes")


# ---- character vectors out of an R lazy-load database -----------------------------------------------
def rdb_chunks(data):
    """An .rdb is a run of chunks: 4 bytes of size, then a zlib stream, or 'Z' + xz, or '2' + bzip2."""
    at = 0
    while at + 5 <= len(data):
        kind = data[at + 4:at + 5]
        if kind == b"Z":
            stream, start = lzma.LZMADecompressor(), at + 5
        elif kind == b"2":
            stream, start = bz2.BZ2Decompressor(), at + 5
        else:
            stream, start = zlib.decompressobj(), at + 4
        yield stream.decompress(data[start:])
        at = len(data) - len(stream.unused_data)


def r_strings(chunk):
    """The strings of a serialized character vector (R Internals, section 1.8), None for others."""
    if chunk[:2] != b"X\n":
        return None
    version = struct.unpack(">i", chunk[2:6])[0]
    at = 14
    if version == 3:
        at += 4 + struct.unpack(">i", chunk[14:18])[0]
    flags, count = struct.unpack(">ii", chunk[at:at + 8])
    if flags & 0xFF != 16:
        return None
    at += 8
    strings = []
    for _ in range(count):
        size = struct.unpack(">i", chunk[at + 4:at + 8])[0]
        at += 8
        strings.append(chunk[at:at + max(size, 0)].decode("utf-8", "replace"))
        at += max(size, 0)
    return strings


TITLES = {"SENSE AND SENSIBILITY", "PRIDE AND PREJUDICE", "MANSFIELD PARK", "EMMA",
          "NORTHANGER ABBEY", "PERSUASION"}


def austen(folder):
    path = os.path.join(folder, "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")
    with open(path, "rb") as f:
        data = f.read()
    for chunk in rdb_chunks(data):
        lines = r_strings(chunk)
        if not lines or len(lines) < 1000:
            continue
        title = next((line.strip() for line in lines[:10]
                      if line.strip().upper() in TITLES), lines[0].strip())
        yield title.title(), lines


def chapters(lines):
    """Cuts a novel at its chapter headings; paragraphs keep their blank line, lines are joined."""
    heading, body = "front", []
    for line in lines:
        if re.fullmatch(r"(CHAPTER|Chapter)\s+[0-9IVXLC]+\.?", line.strip()):
            yield heading, body
            heading, body = line.strip().title(), []
        else:
            body.append(line.strip())
    yield heading, body


def paragraphs(lines):
    joined = "\n".join(lines).strip()
    return "\n\n".join(" ".join(p.split("\n")) for p in re.split(r"\n{2,}", joined) if p)


def bible():
    text = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, check=True,
                          stdin=subprocess.DEVNULL).stdout.decode("utf-8", "replace")
    chapter, verses = None, []
    for line in text.split("\n"):
        match = re.match(r"(\S+?)(\d+):(\d+)\s+(.*)", line)
        if not match:
            continue
        here = (match[1], match[2])
        if here != chapter and verses:
            yield chapter, verses
            verses = []
        chapter = here
        verses.append(match[4].strip())
    if verses:
        yield chapter, verses


def books(out_path, folder):
    rows = characters = 0
    with open(out_path + ".part", "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["book", "chapter", "text"])

        def add(book, chapter, text):
            nonlocal rows, characters
            if len(text) < 200:
                return
            writer.writerow([book, chapter, text])
            rows, characters = rows + 1, characters + len(text)

        for title, lines in austen(folder):
            for heading, body in chapters(lines):
                add(title, heading, paragraphs(body))
        for (book, chapter), verses in bible():
            add("Bible: " + book, chapter, "\n".join(verses))
    os.replace(out_path + ".part", out_path)
    print(f"{out_path}: {rows} chapters, {characters} characters")


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "packages":
        packages(sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] == "books":
        books(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
