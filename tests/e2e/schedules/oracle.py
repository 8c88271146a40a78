"""An oracle for instants, independent of the program: Python's zoneinfo, number by number.

`python3 oracle.py [full]` prints its cases, a line each: expression, zone, begin, end, instants in seconds, with tabs between.
32 expressions over five years in 12 zones, and 6 dense ones around every change of the clocks; without `full`
each expression in a quarter of the zones.
"""
import calendar
import sys
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

UTC = timezone.utc
NAMES = {name: number for number, name in enumerate("sun mon tue wed thu fri sat".split())}
MONTHS = {name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}


def number(text, names):
    return names[text.lower()] if text.lower() in names else int(text)


def matches(field, low, high, names, value):
    for item in field.split(","):
        span, _, step = item.partition("/")
        if span in "*?":
            first, last = low, high
        elif "-" in span:
            first, last = (number(part, names) for part in span.split("-"))
        else:
            first = last = number(span, names)
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


def nearest_workday(day):
    around = [day + timedelta(days=n) for n in (0, -1, 1, -2, 2)]
    return next(d for d in around if d.month == day.month and d.weekday() < 5)


def fits_month_day(field, day):
    last = calendar.monthrange(day.year, day.month)[1]
    for item in field.upper().split(","):
        if item == "L":
            fits = day.day == last
        elif item == "LW":
            fits = day == nearest_workday(date(day.year, day.month, last))
        elif item.endswith("W"):
            wanted = int(item[:-1])
            fits = wanted <= last and day == nearest_workday(date(day.year, day.month, wanted))
        else:
            fits = matches(item, 1, 31, {}, day.day)
        if fits:
            return True
    return False


def fits_week_day(field, day):
    sunday_first = (day.weekday() + 1) % 7
    last = calendar.monthrange(day.year, day.month)[1]
    for item in field.split(","):
        if "#" in item:
            which, nth = item.split("#")
            fits = number(which, NAMES) % 7 == sunday_first and (day.day + 6) // 7 == int(nth)
        elif item[-1] in "Ll" and item.lower() not in NAMES:
            fits = number(item[:-1], NAMES) % 7 == sunday_first and day.day + 7 > last
        else:
            fits = any(matches(item, 0, 7, NAMES, n) for n in ([0, 7] if sunday_first == 0 else [sunday_first]))
        if fits:
            return True
    return False


class Expression:
    def __init__(self, text):
        fields = text.split()
        if len(fields) == 5:
            fields = ["0"] + fields
        self.second, self.minute, self.hour, self.days, self.months, self.weekdays = fields
        self.seconds = [n for n in range(60) if matches(self.second, 0, 59, {}, n)]
        self.minutes = [n for n in range(60) if matches(self.minute, 0, 59, {}, n)]
        self.hours = [n for n in range(24) if matches(self.hour, 0, 23, {}, n)]
        self.times = [(h, m, s) for h in self.hours for m in self.minutes for s in self.seconds]
        self.time_set = set(self.times)
        self.known_days = {}

    def has_day(self, day):
        if day not in self.known_days:
            self.known_days[day] = self.look_at(day)
        return self.known_days[day]

    def look_at(self, day):
        if not matches(self.months, 1, 12, MONTHS, day.month):
            return False
        any_day, any_weekday = self.days in "*?", self.weekdays in "*?"
        if any_day and any_weekday:
            return True
        if any_weekday:
            return fits_month_day(self.days, day)
        if any_day:
            return fits_week_day(self.weekdays, day)
        return fits_month_day(self.days, day) or fits_week_day(self.weekdays, day)


def local(zone, second):
    return datetime.fromtimestamp(second, zone).replace(tzinfo=None)


def first_reached(zone, wanted):
    """The first second at which the clocks show `wanted` or later."""
    guess = int(wanted.replace(tzinfo=UTC).timestamp())
    for fold in (0, 1):
        at = int(wanted.replace(tzinfo=zone, fold=fold).timestamp())
        if local(zone, at) == wanted and fold == 0:
            return at
    # In a gap. Within two days there is one change of the clocks that matters.
    low, high = guess - 2 * 86400, guess + 2 * 86400
    while high - low > 1:
        middle = (low + high) // 2
        if local(zone, middle) >= wanted:
            high = middle
        else:
            low = middle
    return high


def on_the_wall(expression, zone, begin, end):
    day = local(zone, begin).date() - timedelta(days=2)
    found = set()
    while day <= local(zone, end).date() + timedelta(days=1):
        if expression.has_day(day):
            for h, m, s in expression.times:
                found.add(first_reached(zone, datetime(day.year, day.month, day.day, h, m, s)))
        day += timedelta(days=1)
    return sorted(at for at in found if begin < at <= end)


def elapsed(expression, zone, begin, end):
    step = 60 if expression.second == "0" else 1
    found = []
    at = begin + 1
    at += -at % step
    while at <= end:
        shown = local(zone, at)
        if not expression.has_day(shown.date()):
            at += step if step == 1 else 900 - at % 900
            continue
        if (shown.hour, shown.minute, shown.second) in expression.time_set:
            found.append(at)
        at += step
    return found


SPARSE = """
0 2 * * *
30 2 * * *
0,30 2 * * *
*/30 2 * * *
0 */2 * * *
0 1-3 * * *
15 2 * * SUN
0 0 * * *
59 23 L * *
0 9 15W * *
0 9 LW * *
0 9 * * 5#2
0 9 * * friL
0 3 29 2 *
0 0 1,15 * MON
0 12 ? * MON-FRI
30 1 * mar,oct sun
30 1,2,3 * * 0
45 0-3/2 * * 7
0 2 31 * *
0 0 1 jan *
10 0 2 * * *
0 0 1W * *
0 6 31W * *
20 1-2 25-31 3,10,11 0
30 23,0 * * *
0 5 * * fri-7
*/10 3 1-7 * *
0 0 29,30 * *
""".strip().splitlines()
EACH_HOUR = ["0 * * * *", "30 * 1-7 * sun", "0 * * 3,10 0"]
DENSE = ["*/5 * * * *", "*/7 1-3 * * *", "* 2 * * *", "*/20 */10 * * * *", "0,30 0-2,4-23 * * *", "15 30 2 * * *"]
# Each with the five years in which its clocks did what is special about them.
ZONES = {
    "UTC": 2021,
    "Europe/Berlin": 2021,
    "America/New_York": 2021,
    "Australia/Lord_Howe": 2021,
    "Pacific/Apia": 2009,
    "Africa/Casablanca": 2021,
    "Antarctica/Troll": 2021,
    "America/Sao_Paulo": 2015,
    "Asia/Tehran": 2018,
    "Asia/Kolkata": 2021,
    "Pacific/Chatham": 2021,
    "America/St_Johns": 2021,
}


def show(text, zone_name, begin, end):
    expression, zone = Expression(text), ZoneInfo(zone_name)
    search = elapsed if len(expression.hours) == 24 else on_the_wall
    seconds = " ".join(map(str, search(expression, zone, begin, end)))
    moments = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for at in (begin, end))
    print(text, zone_name, *moments, seconds, sep="\t")


def changes(zone, begin, end):
    """Hours in which the clocks changed."""
    hours = range(begin, end, 3600)
    offsets = [datetime.fromtimestamp(at, zone).utcoffset() for at in hours]
    return [at for at, before, after in zip(hours[1:], offsets, offsets[1:]) if before != after]


full = sys.argv[1:] == ["full"]
for which, (zone_name, year) in enumerate(ZONES.items()):
    begin, end = (int(datetime(y, 1, 1, tzinfo=UTC).timestamp()) for y in (year, year + 5))
    for place, text in enumerate(SPARSE):
        if full or (which + place) % 4 == 0:
            show(text, zone_name, begin, end)
    for place, text in enumerate(EACH_HOUR):
        if full or (which + place) % 4 == 0:
            show(text, zone_name, begin, end if full else begin + 370 * 86400)
    around = changes(ZoneInfo(zone_name), begin, end)
    for place, text in enumerate(DENSE):
        for at in around if full else around[place % 4 :: 4]:
            show(text, zone_name, at - 100_000, at + 90_000)
