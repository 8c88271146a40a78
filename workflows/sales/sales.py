"""Sales of a week by shop, written with flytekit: runs with `runner exec`, without containers or a cluster."""

import typing

from flytekit import LaunchPlan, CronSchedule, conditional, map_task, task, workflow


@task(cache=True, cache_version="1")
def sales_of(shop: str) -> int:
    return sum(ord(letter) for letter in shop)


@task(cache=True, cache_version="1")
def total(sales: typing.List[int]) -> int:
    return sum(sales)


@task
def praise(sales: int) -> str:
    return f"{sales} sold: well done"


@task
def warn(sales: int) -> str:
    return f"only {sales} sold"


@workflow
def week(shops: typing.List[str] = ["north", "south", "harbour"], goal: int = 1500) -> str:
    sold = total(sales=map_task(sales_of)(shop=shops))
    return conditional("goal").if_(sold >= goal).then(praise(sales=sold)).else_().then(warn(sales=sold))


nightly = LaunchPlan.get_or_create(week, "nightly", default_inputs={"goal": 1000}, schedule=CronSchedule(schedule="0 2 * * *"))
