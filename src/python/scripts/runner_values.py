"""From JSON to the values that hints name, and back. Nothing is guessed: a value that does not fit is refused.

Hints are looked at as they are; `typing` and the like are only imported by a program that uses them.
"""

import os
import sys

from runner_call import Refused


class Nothing:
    """The hint of what has none."""


NOTHING = Nothing()
# Classes of packages, wherever in the package they are defined.
TABLES = {("pandas", "DataFrame"): "pandas", ("polars", "DataFrame"): "polars", ("pyarrow", "Table"): "arrow",
          ("numpy", "ndarray"): "array"}
PLAIN = {str: "string", int: "int", float: "float", bool: "bool"}


def is_awaitable(value):
    return hasattr(value, "__await__")


def hints_of(function):
    """The hints of a function, those that are written as text evaluated where it was defined."""
    target = function
    while hasattr(target, "__wrapped__"):
        target = target.__wrapped__
    found = {}
    for name, hint in getattr(target, "__annotations__", {}).items():
        if isinstance(hint, str):
            try:
                hint = eval(hint, getattr(target, "__globals__", {}))
            except Exception as error:
                raise Refused("input", f"the hint of `{name}` cannot be read: {type(error).__name__}: {error}") from None
        found[name] = hint
    return found


def checked(hints, name, parameter, call):
    """The hint of a parameter, if it still says what was read from the file; the declared type alone where that says
    something else."""
    if parameter["hint"] is None or parameter["hint"].rstrip("?") != parameter["type"].rstrip("?"):
        return NOTHING
    if name not in hints:
        raise Refused("input", f"`{name}` of `{call['function']}` has no hint now, and had {parameter['hint']} when the file was read")
    expect_same(hints[name], parameter["hint"], f"`{name}` of `{call['function']}`", "input")
    return hints[name]


# Kinds of hints that mean one type, whatever else is said.
MEANS = {"string": "string", "int": "int", "float": "float", "bool": "bool", "datetime.datetime": "datetime",
         "datetime.date": "date", "datetime.timedelta": "duration", "path": "file", "bytes": "file", "pandas": "file",
         "polars": "file", "arrow": "file", "array": "file"}


def meaning(hint):
    """The type that a hint means, or None where that is not plain."""
    hint, said = unwrapped(hint)
    if said:
        return said
    options = [option for option in members(hint) or [] if option is not type(None)]
    return meaning(options[0]) if len(options) == 1 else MEANS.get(kind_of(hint))


def expect_same(hint, read, of, kind):
    """The hint that a function has when it is loaded may differ from the one in its file."""
    now, then = meaning(hint), read.rstrip("?")
    if now is not None and now != then and then in MEANS.values():
        raise Refused(kind, f"the hint of {of} means {now} now, and meant {then} when the file was read")


def fail_in(where, expected, value):
    text = "None" if value is None else f"a {type(value).__name__}"
    raise Refused("input" if where.startswith("input") else "output", f"{where}: expected {expected}, found {text}")


def inside(where, step):
    """The place of a part: output `conf` and .rate make output `conf.rate`."""
    return f"{where[:-1]}{step}`" if where.endswith("`") else f"{where}{step}"


def origin(hint):
    return getattr(hint, "__origin__", None)


def unwrapped(hint):
    """A hint without `Annotated`, `NewType` and aliases; and what `Annotated` says of it."""
    said = None
    while True:
        if hasattr(hint, "__metadata__"):
            said = next((item for item in hint.__metadata__ if item in ("dir", "file", "json")), said)
            hint = hint.__origin__
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif type(hint).__name__ in ("_GenericAlias", "_TypedDictSpecial") and str(getattr(hint, "__origin__", "")) in (
            "typing.Required", "typing.NotRequired", "typing.Final",
        ):
            hint = hint.__args__[0]
        else:
            return hint, said


def members(hint):
    """The members of a union, or None."""
    if type(hint).__name__ == "UnionType" or str(origin(hint)) == "typing.Union":
        return list(hint.__args__)
    return None


def kind_of(hint):
    """What a hint is, by a name."""
    if hint is NOTHING or hint is object or str(hint) == "typing.Any":
        return "any"
    if hint in PLAIN.keys() if isinstance(hint, type) else False:
        return PLAIN[hint]
    if hint is None or hint is type(None):
        return "none"
    if members(hint) is not None:
        return "union"
    base = origin(hint)
    if str(base) == "typing.Literal":
        return "literal"
    base = base or hint
    if not isinstance(base, type):
        return "any"
    name = f"{base.__module__}.{base.__qualname__}"
    if name in ("datetime.datetime", "datetime.date", "datetime.timedelta"):
        return name
    table = TABLES.get((name.partition(".")[0], base.__qualname__))
    if table is not None:
        return table
    if base is bytes:
        return "bytes"
    if name.startswith("pathlib."):
        return "path"
    if issubclass(base, tuple):
        return "namedtuple" if hasattr(base, "_fields") else "tuple"
    if hasattr(base, "__total__") and issubclass(base, dict):
        return "typeddict"
    if base is dict or name.startswith("collections.abc.") and "Mapping" in name or name in (
        "collections.OrderedDict", "collections.defaultdict",
    ):
        return "dict"
    if base in (list, set, frozenset) or name in (
        "collections.abc.Sequence", "collections.abc.MutableSequence", "collections.abc.Iterable",
        "collections.abc.Collection", "collections.abc.Set", "collections.abc.MutableSet",
    ):
        return "list"
    if "enum" in sys.modules and issubclass(base, sys.modules["enum"].Enum):
        return "enum"
    if hasattr(base, "__dataclass_fields__"):
        return "dataclass"
    if hasattr(base, "model_validate") and hasattr(base, "model_dump"):
        return "pydantic"
    return "pickle"


def fields_of(base):
    """The hints of a class's fields, by name."""
    import typing

    return typing.get_type_hints(base, include_extras=True)


# In


def decode(value, hint, declared, where):
    if declared.endswith("?") and value is None:
        return None
    if hint is NOTHING:
        return decode_declared(value, declared.rstrip("?"), where)
    hint, said = unwrapped(hint)
    if value is None:
        options = members(hint)
        if options is None or type(None) in options or kind_of(hint) in ("any", "none"):
            return None
        fail_in(where, name_of(hint), value)
    if said == "json":
        return value
    kind = kind_of(hint)
    return DECODE[kind](value, hint, where)


def decode_declared(value, declared, where):
    if declared.startswith("list<"):
        return [decode_declared(item, declared[5:-1].rstrip("?"), where) if item is not None else None for item in value]
    if declared.startswith("map<"):
        inner = declared[4:-1].rstrip("?")
        return {key: decode_declared(item, inner, where) if item is not None else None for key, item in value.items()}
    kind = {"datetime": "datetime.datetime", "date": "datetime.date", "duration": "datetime.timedelta",
            "file": "path", "dir": "path"}.get(declared)
    if declared == "float":
        return to_float(value, float, where)
    return DECODE[kind](value, None, where) if kind else value


def name_of(hint):
    return getattr(hint, "__name__", None) or str(hint).replace("typing.", "")


def to_float(value, hint, where):
    return float(value)


def plain(kind):
    def decode_plain(value, hint, where):
        if type(value) is not kind:
            fail_in(where, kind.__name__, value)
        return value

    return decode_plain


def to_datetime(value, hint, where):
    from datetime import datetime, timezone

    text = value.replace("Z", "+00:00")
    head, dot, rest = text.partition(".")
    if dot:
        digits = rest.rstrip("+-:0123456789") or rest
        fraction, sign, zone = digits.partition("+")
        text = f"{head}.{fraction[:6]:0<6}{sign}{zone}"
    return datetime.fromisoformat(text).astimezone(timezone.utc)


def to_date(value, hint, where):
    from datetime import date

    return date.fromisoformat(value)


def to_timedelta(value, hint, where):
    from datetime import timedelta

    return timedelta(seconds=value)


def to_path(value, hint, where):
    from pathlib import Path

    return Path(value)


def to_list(value, hint, where):
    args = getattr(hint, "__args__", ())
    items = value
    if args and type(args[0]).__name__ != "TypeVar":
        items = [decode(item, args[0], "any?", inside(where, f"[{i}]")) for i, item in enumerate(value)]
    base = origin(hint) or hint
    name = base.__name__
    if base is frozenset:
        return frozenset(items)
    return set(items) if "et" in name[-3:] and name != "list" or name == "MutableSet" else items


def to_tuple(value, hint, where):
    args = getattr(hint, "__args__", ())
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(decode(item, args[0], "any?", inside(where, f"[{i}]")) for i, item in enumerate(value))
    if args:
        if len(args) != len(value):
            raise Refused("input", f"{where}: expected {len(args)} values, found {len(value)}")
        return tuple(decode(item, arg, "any?", inside(where, f"[{i}]")) for i, (item, arg) in enumerate(zip(value, args)))
    return tuple(value)


def to_dict(value, hint, where):
    args = getattr(hint, "__args__", ())
    if len(args) != 2 or type(args[0]).__name__ == "TypeVar":
        return value
    key = unwrapped(args[0])[0]
    whole = (lambda text: text) if key is str else (lambda text: decode_key(text, key, where))
    return {whole(k): decode(item, args[1], "any?", inside(where, f".{k}")) for k, item in value.items()}


def decode_key(text, key, where):
    kind = kind_of(key)
    if kind == "int" or kind == "float":
        return key(text)
    if kind == "bool":
        return text == "true"
    return decode(text, key, "any", where)


def to_union(value, hint, where):
    for option in members(hint):
        try:
            return decode(value, option, "any", where)
        except (Refused, TypeError, ValueError, KeyError, AttributeError):
            continue
    fail_in(where, name_of(hint), value)


def to_literal(value, hint, where):
    if not any(value == arg and type(value) is type(arg) for arg in hint.__args__):
        raise Refused("input", f"{where}: expected one of {', '.join(map(repr, hint.__args__))}, found {value!r}")
    return value


def to_enum(value, hint, where):
    return hint(value)


def to_fields(value, hint, where):
    if not isinstance(value, dict):
        fail_in(where, name_of(hint), value)
    hints = fields_of(hint)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise Refused("input", f"{where}: {name_of(hint)} has no field `{unknown[0]}`")
    return {name: decode(item, hints[name], "any", inside(where, f".{name}")) for name, item in value.items()}


def to_class(value, hint, where):
    fields = to_fields(value, hint, where)
    try:
        return hint(**fields)
    except TypeError as error:
        raise Refused("input", f"{where}: {error}") from None


def to_pydantic(value, hint, where):
    try:
        return hint.model_validate(value)
    except ValueError as error:
        raise Refused("input", f"{where}: {error}") from None


def to_bytes(value, hint, where):
    with open(value, "rb") as file:
        return file.read()


def to_pandas(value, hint, where):
    import pandas

    return pandas.read_parquet(value)


def to_polars(value, hint, where):
    import polars

    return polars.read_parquet(value)


def to_arrow(value, hint, where):
    import pyarrow.parquet

    return pyarrow.parquet.read_table(value)


def to_array(value, hint, where):
    import numpy

    return numpy.load(value, allow_pickle=False)


def to_pickled(value, hint, where):
    import pickle

    with open(value, "rb") as file:
        found = pickle.load(file)
    if isinstance(hint, type) and not isinstance(found, hint):
        fail_in(where, name_of(hint), found)
    return found


DECODE = {
    "any": lambda value, hint, where: value, "string": plain(str), "int": plain(int), "bool": plain(bool),
    "float": to_float, "datetime.datetime": to_datetime, "datetime.date": to_date, "datetime.timedelta": to_timedelta,
    "path": to_path, "list": to_list, "tuple": to_tuple, "dict": to_dict, "union": to_union, "literal": to_literal,
    "enum": to_enum, "dataclass": to_class, "namedtuple": to_class, "typeddict": to_fields, "pydantic": to_pydantic,
    "bytes": to_bytes, "pandas": to_pandas, "polars": to_polars, "arrow": to_arrow, "array": to_array, "pickle": to_pickled,
    "none": lambda value, hint, where: fail_in(where, "None", value),
}


def encode_all(result, hint, call):
    """The outputs of a call, by name."""
    from runner_outputs import encode_all as encode

    return encode(result, hint, call)
