# SPDX-License-Identifier: Apache-2.0
"""Pollock's polluted CSV files: how much of what each file means is read.

    tests/conformance/pollock.py FOLDER [--auto] [--write OUT] [--verbose]

FOLDER holds csv/X.csv, clean/X.csv (what X means, as plain CSV) and parameters/X.csv_parameters.json (its
dialect); pollock_weights.json, in the folder or above it, says how often each kind of file is met.  A file's
measures are those of Vitagliano et al., "Pollock: A Data Loading Benchmark" (VLDB 2023): it is read at all; and
precision, recall and their harmonic mean of the header's cells, of the records and of all cells, as multisets.
Header and records are compared after values are brought into one form (dates, times, prices, numbers), cells as
they stand.  The score is the sum of the ten measures, averaged over the files: 10 at best.

Every file is read with on_error=null and all_text, and with its parameters; --auto leaves those out, and everything
is detected.
"""
import argparse
import collections
import csv
import functools
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "python")]
BEST_PEER = {"simple": 9.955, "weighted": 9.597}  # SQLite; the suite's own table, its best of each


def options_of(parameters):
    """A parameters file as options of ours; what it leaves empty is detected."""
    p = parameters
    options = {"header": "yes" if p["header_lines"] else "no", "skip_lines": p["preamble_lines"] or -1}
    if p["header_lines"]:
        options["header_rows"] = p["header_lines"]
    for key, ours in [("delimiter", "separator"), ("quotechar", "quote"), ("escapechar", "escape")]:
        if p[key]:
            options[ours] = p[key]
    if options.get("escape") == '"' and options.get("quote") not in (None, '"'):
        del options["escape"]  # the tool's default, not this file's: quotes are doubled
    if p["row_delimiter"]:
        options["line_end"] = {"\n": "lf", "\r\n": "crlf", "\r": "cr"}[p["row_delimiter"]]
    return options


def read(path, options):
    """Header and rows as lists of text; a file without a header has none."""
    import pyarrow as pa
    import tenon
    table = pa.table(tenon.open(path, format="csv", all_text="true", on_error="null", threads="1",
                                **{key: str(value) for key, value in options.items()}))
    names = table.schema.names
    rows = [["" if value is None else value for value in row]
            for row in zip(*(column.to_pylist() for column in table.columns))]
    unnamed = names == [f"f{i}" for i in range(len(names))]
    return rows if unnamed else [names] + rows


# ---- values in one form ----
def as_time(text):
    import datetime
    for form in ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p"):
        try:
            return str(datetime.datetime.strptime(text.strip(), form).time())
        except ValueError:
            pass
    raise ValueError(text)


def as_date(text):
    import dateutil.parser

    class Info(dateutil.parser.parserinfo):
        JUMP = [" ", ".", ",", ";", "-", "/", "'"]
    return str(dateutil.parser.parse(text, parserinfo=Info()))


@functools.lru_cache(maxsize=None)
def one_form(text):
    if not text or text.isspace():
        return text
    if text in ("True", "true", "False", "false"):
        return "1" if text[0] in "Tt" else "0"
    for form in (lambda t: str(int(t)), lambda t: str(float(t)), as_time, as_date):
        try:
            return form(text)
        except (ValueError, OverflowError, TypeError):
            pass
    from price_parser import Price
    price = Price.fromstring(text)
    if price.currency is not None and price.amount is not None:
        return price.currency + str(price.amount_float)
    return text.lower()


# ---- measures ----
def overlap(want, got):
    """Precision, recall and F1 in the suite's sense: over what was wanted, over what was got."""
    if not want:
        return [1.0] * 3
    common = sum((collections.Counter(want) & collections.Counter(got)).values())
    if not common:
        return [0.0] * 3
    p, r = common / len(want), common / len(got)
    return [p, r, 2 * p * r / (p + r)]


def measures(want, got):
    if not want:
        return [1.0] * 9
    header = overlap([one_form(c) for c in want[0]], [one_form(c) for c in got[0]] if got else [])
    records = overlap(*(["".join(one_form(c) for c in row) for row in rows[1:]] for rows in (want, got)))
    cells = overlap(*([c for row in rows for c in row] for rows in (want, got)))
    return header + records + cells


def score_file(folder, path, auto):
    """(the ten measures, what was read)"""
    with open(folder / "clean" / path.name, newline=None, encoding="utf-8-sig") as f:
        want = list(csv.reader(f))
    parameters = json.loads((folder / "parameters" / f"{path.name}_parameters.json").read_text())
    try:
        got = read(path, {} if auto else options_of(parameters))
    except Exception as error:
        return [0.0] * 10, [["Application Error"], [str(error)]]
    # as a file of it would be read back: a line end inside a value is one '\n'
    got = [[cell.replace("\r\n", "\n").replace("\r", "\n") for cell in row] for row in got]
    return [1.0] + measures(want, got), got


def score(folder, auto=False, write=None, verbose=False):
    """{"simple": ..., "weighted": ..., "files": ...}"""
    totals = {}
    for path in sorted((folder / "csv").glob("*.csv")):
        totals[path.name], got = score_file(folder, path, auto)
        if verbose and sum(totals[path.name]) < 9.9:
            print(f"{sum(totals[path.name]):7.3f}  {path.name}", file=sys.stderr)
        if write:
            with open(write / f"{path.name}_converted.csv", "w", newline="", encoding="utf-8") as f:
                csv.writer(f, lineterminator="\n").writerows(got)
    result = {"files": len(totals), "simple": sum(map(sum, totals.values())) / max(len(totals), 1)}
    for place in (folder, folder.parent):
        if (place / "pollock_weights.json").exists():
            weights = json.loads((place / "pollock_weights.json").read_text())
            all_weights = sum(weights.get(name, -1) for name in totals)
            result["weighted"] = sum(sum(m) * weights.get(name, -1) for name, m in totals.items()) / all_weights
            break
    return result


def folders(root):
    for parameters in sorted(pathlib.Path(root).rglob("parameters")):
        if (parameters.parent / "csv").is_dir() and (parameters.parent / "clean").is_dir():
            yield parameters.parent


def check(folder):
    result = score(folder)
    low = {key: value for key, value in BEST_PEER.items() if result.get(key, 10) <= value}
    return f"{result} is not above {low}" if low else None


def cases(root, heavy=False):
    for folder in folders(root):
        yield "csv, polluted", str(folder.relative_to(root)), lambda f=folder: check(f)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("folder", type=pathlib.Path)
    args.add_argument("--auto", action="store_true", help="without the parameters: everything is detected")
    args.add_argument("--write", type=pathlib.Path, help="what was read, as X.csv_converted.csv")
    args.add_argument("--verbose", action="store_true", help="which files lose more than 0.1")
    options = args.parse_args()
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
    print(json.dumps(score(options.folder, options.auto, options.write, options.verbose)))


if __name__ == "__main__":
    main()
