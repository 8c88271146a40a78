"""Write the page about a year of weather: one HTML file that needs nothing else.

    report.py PAGE

The inputs come as JSON from the file that $RUNNER_INPUTS names: the paths of `chart`, `daily` and `monthly`,
the object `quality`, and the text `station`.
"""

import csv
import json
import os
import sys
from datetime import date
from html import escape
from pathlib import Path
from string import Template

PAGE = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>The weather at $station</title>
<style>
  body { font: 16px/1.5 system-ui, "Segoe UI", "Liberation Sans", sans-serif; color: #1f2933; background: #f5f7fa;
         max-width: 960px; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.7rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
  .facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: .8rem; padding: 0 }
  .facts li { list-style: none; background: #fff; border-radius: 8px; padding: .8rem 1rem }
  .facts b { display: block; font-size: 1.5rem }
  .card { background: #fff; border-radius: 8px; padding: 1rem; overflow-x: auto }
  svg { width: 100%; height: auto; display: block }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
  th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #e4e7eb }
  th:first-child, td:first-child { text-align: left }
  th { color: #616e7c; font-weight: 600 }
</style>
<h1>The weather at $station</h1>
<ul class="facts">
$facts
</ul>
<h2>The year</h2>
<div class="card">
$chart
</div>
<h2>The months</h2>
<div class="card">
<table>
<tr><th>month<th>low °C<th>mean °C<th>high °C<th>rain mm<th>strongest wind m/s<th>hours
$months
</table>
</div>
<h2>The readings</h2>
<p>Of $rows rows, $kept were kept, $repaired of them after a repair. The others were set aside:</p>
<div class="card">
<table>
<tr><th>reason<th>rows
$reasons
</table>
</div>
</html>
""")


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(text_or_value, digits=1):
    return f"{float(text_or_value):,.{digits}f}".replace("-", "\u2212")


def row(*cells):
    return "<tr>" + "".join(f"<td>{escape(str(cell))}" for cell in cells)


def fact(value, words):
    return f"<li><b>{escape(value)}</b> {escape(words)}</li>"


def main(page):
    inputs = json.loads(Path(os.environ["RUNNER_INPUTS"]).read_text(encoding="utf-8"))
    days, months, quality = read(inputs["daily"]), read(inputs["monthly"]), inputs["quality"]

    def on(day):
        when = date.fromisoformat(day["period"])
        return f"on {when.day} {when:%B}"

    hours = sum(int(day["hours"]) for day in days)
    mean = sum(float(day["mean"]) * int(day["hours"]) for day in days) / hours
    hottest = max(days, key=lambda day: float(day["high"]))
    coldest = min(days, key=lambda day: float(day["low"]))
    facts = [
        fact(f"{number(mean)} °C", "on average"),
        fact(f"{number(hottest['high'])} °C", f"highest, {on(hottest)}"),
        fact(f"{number(coldest['low'])} °C", f"lowest, {on(coldest)}"),
        fact(f"{number(sum(float(day['rain']) for day in days), 0)} mm", "of rain"),
        fact(str(sum(float(day["low"]) < 0 for day in days)), "days with frost"),
        fact(str(sum(float(day["high"]) >= 25 for day in days)), "days of 25 °C or more"),
    ]
    table = [
        row(
            f"{date.fromisoformat(month['period'] + '-01'):%B}",
            *(number(month[name]) for name in ("low", "mean", "high", "rain", "wind")),
            number(month["hours"], 0),
        )
        for month in months
    ]
    by_count = sorted(quality["rejected"].items(), key=lambda item: -item[1])
    reasons = [row(reason, number(count, 0)) for reason, count in by_count]
    Path(page).write_text(
        PAGE.substitute(
            station=escape(inputs["station"]),
            facts="\n".join(facts),
            chart=Path(inputs["chart"]).read_text(encoding="utf-8"),
            months="\n".join(table),
            reasons="\n".join(reasons),
            **{name: number(quality[name], 0) for name in ("rows", "kept", "repaired")},
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
