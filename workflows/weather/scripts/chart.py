"""Draw a year of weather as one SVG file.

    chart.py DAILY MONTHLY STATION CHART

Above, temperature: the span of each day, and its mean over seven days. Below, rain: each day, with the sum of
each month. A day without readings is a gap, never a line drawn across it.
"""

import csv
import sys
from datetime import date, timedelta
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 960, 560
LEFT, RIGHT = 56, 940
WARM_TOP, WARM_BOTTOM = 84, 344
RAIN_TOP, RAIN_BOTTOM = 404, 508
INK, FAINT, GRID = "#1f2933", "#616e7c", "#e4e7eb"
BAND, MEAN, RAIN = "#f7c9a3", "#b4460f", "#3d7ea6"

STYLE = f"""
  text {{ font-family: system-ui, "Segoe UI", "Liberation Sans", "DejaVu Sans", sans-serif; fill: {FAINT}; font-size: 12px }}
  .title {{ fill: {INK}; font-size: 20px; font-weight: 600 }}
  .head {{ fill: {INK}; font-size: 13px; font-weight: 600 }}
  .mark {{ fill: {INK}; font-size: 12px; paint-order: stroke; stroke: #fff; stroke-width: 4px; stroke-linejoin: round }}
"""


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def steps(low, high, step):
    """The multiples of `step` from at or below `low` to at or above `high`."""
    first, last = int(low // step), -int(-high // step)
    return [n * step for n in range(first, last + 1)]


def scale(ticks, bottom, top):
    """A function from values to heights on the page."""
    return lambda value: bottom - (value - ticks[0]) / (ticks[-1] - ticks[0]) * (bottom - top)


def runs(days):
    """Split days into stretches without a gap."""
    stretch = []
    for day in days:
        if stretch and day["date"] - stretch[-1]["date"] > timedelta(days=1):
            yield stretch
            stretch = []
        stretch.append(day)
    yield stretch


def smoothed(days, reach=3):
    """The mean of the days up to `reach` before and after each."""
    by_date = {day["date"]: day["mean"] for day in days}
    for day in days:
        near = (day["date"] + timedelta(days=n) for n in range(-reach, reach + 1))
        values = [by_date[other] for other in near if other in by_date]
        yield sum(values) / len(values)


def points(pairs):
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def text(x, y, words, anchor="middle", kind=""):
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(words)}</text>'


def line(x1, y1, x2, y2, color=GRID):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def grid(ticks, y):
    for tick in ticks:
        yield line(LEFT, y(tick), RIGHT, y(tick), FAINT if tick == 0 else GRID)
        yield text(LEFT - 8, y(tick) + 4, str(tick).replace("-", "\u2212"), "end")


def main(daily, monthly, station, chart):
    days = [
        {"date": date.fromisoformat(row["period"])}
        | {name: float(row[name]) for name in ("low", "mean", "high", "rain")}
        for row in read(daily)
    ]
    months = [(date.fromisoformat(row["period"] + "-01"), float(row["rain"])) for row in read(monthly)]
    begin, end = months[0][0], following(months[-1][0])
    width = (RIGHT - LEFT) / (end - begin).days

    def x(day):
        return LEFT + (day - begin).days * width

    for day, mean in zip(days, smoothed(days)):
        day["x"], day["smooth"] = x(day["date"]) + width / 2, mean

    degrees = steps(min(d["low"] for d in days), max(d["high"] for d in days), 10)
    litres = steps(0, max(d["rain"] for d in days), 10)
    warm, wet = scale(degrees, WARM_BOTTOM, WARM_TOP), scale(litres, RAIN_BOTTOM, RAIN_TOP)
    period = str(begin.year) if begin.year == (end - timedelta(days=1)).year else f"{begin.year}\u2013{end.year}"

    parts = [text(LEFT, 34, f"The weather at {station}, {period}", "start", "title")]
    parts += [text(LEFT, 66, "Temperature, °C", "start", "head")]
    parts += [
        f'<rect x="{RIGHT - 254}" y="56" width="18" height="11" fill="{BAND}"/>',
        text(RIGHT - 230, 66, "lowest to highest", "start"),
        f'<line x1="{RIGHT - 116}" y1="61.5" x2="{RIGHT - 98}" y2="61.5" stroke="{MEAN}" stroke-width="2.5"/>',
        text(RIGHT - 92, 66, "mean of 7 days", "start"),
    ]
    parts += grid(degrees, warm)
    for stretch in runs(days):
        band = [(d["x"], warm(d["high"])) for d in stretch] + [(d["x"], warm(d["low"])) for d in reversed(stretch)]
        mean = [(d["x"], warm(d["smooth"])) for d in stretch]
        parts.append(f'<polygon points="{points(band)}" fill="{BAND}"/>')
        parts.append(
            f'<polyline points="{points(mean)}" fill="none" stroke="{MEAN}" stroke-width="2.5" '
            'stroke-linejoin="round" stroke-linecap="round"/>'
        )
    for name, pick in (("high", max), ("low", min)):
        day = pick(days, key=lambda d: d[name])
        # Beside the point, on the side that has more room.
        side, anchor = (10, "start") if day["x"] < (LEFT + RIGHT) / 2 else (-10, "end")
        words = f'{day[name]:.1f} °C on {day["date"].day} {day["date"]:%B}'.replace("-", "\u2212")
        parts.append(f'<circle cx="{day["x"]:.1f}" cy="{warm(day[name]):.1f}" r="3" fill="{INK}"/>')
        parts.append(text(day["x"] + side, warm(day[name]) + 4, words, anchor, "mark"))

    parts += [text(LEFT, RAIN_TOP - 18, "Rain, mm a day", "start", "head")]
    parts += [text(RIGHT, RAIN_TOP - 18, "below each month: its sum", "end")]
    parts += grid(litres, wet)
    for day in days:
        if day["rain"]:
            top = wet(day["rain"])
            parts.append(
                f'<rect x="{x(day["date"]):.2f}" y="{top:.1f}" width="{width * 0.85:.2f}" '
                f'height="{RAIN_BOTTOM - top:.1f}" fill="{RAIN}"/>'
            )
    for month, rain in months:
        middle = (x(month) + x(following(month))) / 2
        for top, bottom in ((WARM_TOP, WARM_BOTTOM), (RAIN_TOP, RAIN_BOTTOM)):
            parts.append(line(x(month), bottom, x(month), bottom + 5, FAINT))
        parts.append(text(middle, WARM_BOTTOM + 18, f"{month:%b}"))
        parts.append(text(middle, RAIN_BOTTOM + 18, f"{month:%b}"))
        parts.append(text(middle, RAIN_BOTTOM + 36, f"{rain:.0f} mm", kind="mark"))

    title = f"Temperature and rain at {station}, {period}"
    Path(chart).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n",
        encoding="utf-8",
    )
    print(f"drew {len(days)} days")


def following(month):
    """The first day of the next month."""
    return (month + timedelta(days=31)).replace(day=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
