"""Steps of prices.toml: plain functions, which know nothing of workflows."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass
class Series:
    item: str
    points: list[tuple[int, float]]


@dataclass
class Line:
    item: str
    last: int
    base: float
    slope: float


class Read(NamedTuple):
    items: list[str]
    series: list[Series]


def read(rows: Path) -> Read:
    found: dict[str, list[tuple[int, float]]] = {}
    with rows.open() as file:
        for row in csv.DictReader(file):
            found.setdefault(row["item"], []).append((int(row["day"]), float(row["price"])))
    return Read(sorted(found), [Series(item, found[item]) for item in sorted(found)])


def trend(points: list[tuple[int, float]]) -> tuple[float, float]:
    """The line of least squares: its height at day 0, and its slope."""
    days = sum(day for day, _ in points) / len(points)
    prices = sum(price for _, price in points) / len(points)
    spread = sum((day - days) ** 2 for day, _ in points)
    slope = sum((day - days) * (price - prices) for day, price in points) / spread
    return prices - slope * days, slope


def fit(series: Series) -> Line:
    base, slope = trend(series.points)
    return Line(series.item, series.points[-1][0], base, slope)


def forecast(line: Line, days: int = 7) -> tuple[float, Path]:
    price = round(line.base + line.slope * (line.last + days), 2)
    page = Path(f"{line.item}.txt")
    page.write_text(f"{line.item} costs {price:.2f} in {days} days\n")
    return price, page
