"""Make the readings of an invented weather station: the same bytes each time.

    python3 make.py > readings-2024.csv

One row an hour of the year 2024, in the climate of central Europe, as a small station would log it: with
outages, doubled rows, sensor faults and a change of decimal sign after an update in June.
"""

import math
import random
from datetime import datetime, timedelta

SEED = 20240101
START = datetime(2024, 1, 1)
HOURS = 366 * 24


def weather():
    """Yield (time, temperature, humidity, wind, rain) for each hour."""
    chance = random.Random(SEED)
    front, breeze, wet = 0.0, 0.0, False
    for hour in range(HOURS):
        time = START + timedelta(hours=hour)
        day = hour / 24
        # Warm and cold spells last for days; so do windy ones. Rain comes and goes within hours.
        front = 0.992 * front + chance.gauss(0, 0.42)
        breeze = 0.96 * breeze + chance.gauss(0, 0.22)
        wet = chance.random() < (0.80 if wet else 0.021)
        summer = -math.cos(2 * math.pi * (day - 18) / 366)
        sun = max(0.0, -math.cos(2 * math.pi * (time.hour - 2.5) / 24))
        swing = (3.0 + 3.2 * (summer + 1) / 2) * (0.35 if wet else 1.0)
        temperature = 9.6 + 9.6 * summer + front + swing * (1.35 * sun - 0.5) + chance.gauss(0, 0.25)
        humidity = 84 - 9 * summer - 24 * sun + (14 if wet else 0) + chance.gauss(0, 4)
        wind = max(0.0, 2.6 * math.exp(0.45 * breeze) + 0.9 * sun + chance.gauss(0, 0.4))
        rain = chance.expovariate(1 / (0.75 + 0.5 * (summer + 1))) if wet else 0.0
        yield time, temperature, min(100.0, max(15.0, humidity)), wind, rain


def logged():
    """Yield the lines of the log, faults included."""
    chance = random.Random(SEED + 1)
    outages = [(datetime(2024, 3, 14, 9), 41), (datetime(2024, 9, 2, 22), 15)]
    comma = (datetime(2024, 6, 10, 6), datetime(2024, 6, 12, 17))
    for time, *values in weather():
        if any(begin <= time < begin + timedelta(hours=hours) for begin, hours in outages):
            continue
        fields = [f"{values[0]:.1f}", f"{values[1]:.0f}", f"{values[2]:.1f}", f"{values[3]:.1f}"]
        stamp = time.strftime("%Y-%m-%dT%H:%M")
        fault = chance.random()
        if fault < 0.005:
            fields[chance.randrange(4)] = chance.choice(["", "NA"])
        elif fault < 0.009:
            fields[0] = "-999.0"
        elif fault < 0.012:
            fields[0] = "85.0"              # what this kind of sensor says after a loss of power
        elif fault < 0.014:
            fields[1] = str(chance.randint(101, 254))
        elif fault < 0.017:
            stamp = stamp.replace("T", " ")
        elif fault < 0.019:
            fields[3:] = []
        if comma[0] <= time < comma[1]:
            fields = [f'"{field.replace(".", ",")}"' if "." in field else field for field in fields]
        line = ",".join([stamp, *fields])
        yield line
        if 0.5 < fault < 0.508:
            yield line                      # the logger restarted and sent the row again


if __name__ == "__main__":
    print("time,temperature,humidity,wind,rain")
    for line in logged():
        print(line)
