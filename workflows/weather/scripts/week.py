"""Write the table of one week.

    week.py DAILY WEEK PAGE

The page is Markdown; the week's highest temperature and its rain go to $OUT as outputs of their own.
"""

import csv
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path


def main(daily, week, page):
    try:
        monday = datetime.strptime(week + "-1", "%G-W%V-%u")
    except ValueError:
        sys.exit(f"{week!r} is no ISO week such as 2024-W31")
    days = [(monday + timedelta(days=n)).strftime("%Y-%m-%d") for n in range(7)]
    with open(daily, newline="", encoding="utf-8") as file:
        rows = {row["period"]: row for row in csv.DictReader(file) if row["period"] in days}
    if not rows:
        sys.exit(f"there are no readings for {week}")

    lines = [
        f"# Week {week}",
        "",
        "| day | low °C | mean °C | high °C | rain mm | wind m/s |",
        "|:----|-------:|--------:|--------:|--------:|---------:|",
    ]
    for day in days:
        name = datetime.fromisoformat(day).strftime("%a %d %b")
        row = rows.get(day)
        if row is None:
            lines.append(f"| {name} | | | | | |")
            continue
        mean = float(row["mean"])
        lines.append(f"| {name} | {row['low']} | {mean:.1f} | {row['high']} | {row['rain']} | {row['wind']} |")
    warmest = max(float(row["high"]) for row in rows.values())
    rain = round(sum(float(row["rain"]) for row in rows.values()), 1)
    lines += ["", f"Up to {warmest} °C, and {rain} mm of rain. Readings of {len(rows)} of 7 days."]
    Path(page).write_text("\n".join(lines) + "\n", encoding="utf-8")

    out = Path(os.environ["OUT"])
    (out / "warmest").write_text(f"{warmest}\n", encoding="utf-8")
    (out / "rain").write_text(f"{rain}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
