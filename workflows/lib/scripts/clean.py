"""Clean the readings of a weather station.

    clean.py READINGS CLEAN REJECTED QUALITY

A station in a garden delivers what such stations deliver: gaps, doubled rows, values that no weather
has. Spelling is repaired (decimal commas, a blank instead of the T in a time); a row that misses a value or
holds an impossible one is rejected with its line and reason. Nothing is guessed.
"""

import csv
import json
import sys
from collections import Counter
from datetime import datetime

COLUMNS = ["time", "temperature", "humidity", "wind", "rain"]
# What a value can be at all, in degrees Celsius, percent, metres a second and millimetres an hour.
LIMITS = {"temperature": (-40, 45), "humidity": (0, 100), "wind": (0, 60), "rain": (0, 100)}


class Rejected(Exception):
    """A row that cannot be used; the message says why."""


def read_value(name, text):
    text = text.strip().replace(",", ".")
    if text in ("", "NA", "-999.0"):
        raise Rejected(f"{name} is missing")
    try:
        value = float(text)
    except ValueError:
        raise Rejected(f"{name} is no number") from None
    low, high = LIMITS[name]
    if not low <= value <= high:
        raise Rejected(f"{name} is impossible")
    return text


def read_time(text):
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%dT%H:%M")
    except ValueError:
        raise Rejected("time is unreadable") from None


def read_row(row):
    if len(row) != len(COLUMNS):
        raise Rejected("row is cut off")
    return [read_time(row[0])] + [read_value(name, text) for name, text in zip(COLUMNS[1:], row[1:])]


def main(source, clean, rejected, quality):
    kept, reasons, repaired, total = {}, Counter(), 0, 0
    with open(source, newline="", encoding="utf-8") as file, open(rejected, "w", newline="", encoding="utf-8") as out:
        rows = csv.reader(file)
        bad = csv.writer(out, lineterminator="\n")
        bad.writerow(["line", "reason", "row"])
        header = next(rows, None)
        if header != COLUMNS:
            sys.exit(f"{source}: the first line must be {','.join(COLUMNS)}, found {header}")
        for row in rows:
            if not row:
                continue
            total += 1
            try:
                good = read_row(row)
                if good[0] in kept:
                    raise Rejected("row is doubled")
            except Rejected as reason:
                reasons[str(reason)] += 1
                bad.writerow([rows.line_num, reason, ",".join(row)])
                continue
            kept[good[0]] = good
            repaired += good != row
    if not kept:
        sys.exit(f"{source}: not a single usable row")
    with open(clean, "w", newline="", encoding="utf-8") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(kept[time] for time in sorted(kept))
    counts = {"rows": total, "kept": len(kept), "repaired": repaired, "rejected": reasons}
    with open(quality, "w", encoding="utf-8") as out:
        json.dump(counts, out)
    print(f"kept {len(kept)} of {total} rows, {repaired} of them repaired, {sum(reasons.values())} rejected")


if __name__ == "__main__":
    main(*sys.argv[1:])
