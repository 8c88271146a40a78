"""From what a function returned to its outputs: JSON, and files below $OUT."""

import os

from runner_call import Refused
from runner_values import NOTHING, expect_same, fail_in, fields_of, inside, kind_of, members, name_of, origin, unwrapped


def encode_all(result, hint, call):
    names = [output["name"] for output in call["outputs"]]
    kind = call["returns"]
    if kind == "none":
        if result is not None:
            raise Refused("output", f"`{call['function']}` is said to return None, and returned a {type(result).__name__}")
        return {}
    if kind == "one":
        hints, values = [hint], [result]
    elif kind == "tuple":
        if not isinstance(result, tuple):
            fail_in(f"the result of `{call['function']}`", f"a tuple of {len(names)}", result)
        if len(result) != len(names):
            raise Refused("output", f"`{call['function']}` returned {len(result)} values, and has {len(names)} outputs")
        args = getattr(unwrapped(hint)[0], "__args__", ())
        hints = list(args) if len(args) == len(names) else [NOTHING] * len(names)
        values = list(result)
    else:
        hint = unwrapped(hint)[0]
        by_name = fields_of(hint) if hint is not NOTHING else {}
        if isinstance(result, tuple) and hasattr(result, "_asdict"):
            result = result._asdict()
        if not isinstance(result, dict):
            fail_in(f"the result of `{call['function']}`", name_of(hint), result)
        unknown = sorted(str(key) for key in result if key not in names)
        if unknown:
            raise Refused("output", f"`{call['function']}` returned `{unknown[0]}`, which is none of its outputs")
        hints = [by_name.get(name, NOTHING) for name in names]
        values = [result.get(name) for name in names]
    outputs = {}
    for output, hint, value in zip(call["outputs"], hints, values):
        name = output["name"]
        if output["hint"] is None or output["hint"].rstrip("?") != output["type"].rstrip("?"):
            hint = NOTHING
        elif hint is not NOTHING:
            expect_same(hint, output["hint"], f"output `{name}`", "output")
        encoder = Encoder(name)
        outputs[name] = encoder.encode(value, hint, output["type"], f"output `{name}`")
    return outputs


def plain(value):
    """A number or text of numpy as Python's own."""
    return value.item() if type(value).__module__ == "numpy" and not getattr(value, "shape", True) else value


class Encoder:
    """Encodes one output; its files are numbered in the order in which they come."""

    def __init__(self, name):
        self.name, self.count = name, 0

    def place(self, base):
        """A path of its own for a file of this output."""
        folder = os.path.join(os.environ["OUT"], f"{self.name}.{self.count}")
        self.count += 1
        os.mkdir(folder)
        return os.path.join(folder, base)

    def encode(self, value, hint, declared, where):
        if hint is NOTHING:
            return self.declared(value, declared, where)
        hint, said = unwrapped(hint)
        if value is None and (kind_of(hint) in ("any", "none") or type(None) in (members(hint) or ())):
            return None
        if said == "json":
            return self.json(value, where)
        kind = "path" if said in ("dir", "file") else kind_of(hint)
        return getattr(self, "of_" + kind.replace(".", "_"))(value, hint, where)

    def declared(self, value, declared, where):
        """A value whose hint says nothing, by the type that the workflow declares."""
        if declared.endswith("?"):
            return None if value is None else self.declared(value, declared[:-1], where)
        if declared.startswith("list<"):
            if not isinstance(value, (list, tuple)):
                fail_in(where, declared, value)
            return [self.declared(item, declared[5:-1], inside(where, f"[{i}]")) for i, item in enumerate(value)]
        if declared.startswith("map<"):
            if not isinstance(value, dict):
                fail_in(where, declared, value)
            return {key: self.declared(item, declared[4:-1], inside(where, f".{key}")) for key, item in value.items()}
        kind = {"datetime": "datetime_datetime", "date": "datetime_date", "duration": "datetime_timedelta", "file": "path",
                "dir": "path", "json": "any"}.get(declared, declared)
        return getattr(self, "of_" + kind)(value, None, where)

    # Plain values

    def of_any(self, value, hint, where):
        return self.json(value, where)

    def json(self, value, where):
        """A value of any kind that JSON can hold."""
        if value is None or isinstance(value, (bool, str)) and type(value) in (bool, str):
            return value
        if type(value) is int:
            return self.of_int(value, None, where)
        if type(value) is float:
            if value != value or value in (float("inf"), float("-inf")):
                raise Refused("output", f"{where}: json holds no {value}")
            return value
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return [self.json(item, inside(where, f"[{i}]")) for i, item in enumerate(value)]
        if isinstance(value, dict):
            return {self.key(key, where): self.json(item, inside(where, f".{key}")) for key, item in value.items()}
        kind = kind_of(type(value))
        if kind in ("dataclass", "namedtuple", "pydantic", "enum", "datetime.datetime", "datetime.date", "datetime.timedelta"):
            return getattr(self, "of_" + kind.replace(".", "_"))(value, type(value), where)
        fail_in(where, "a value for json", value)

    def key(self, key, where):
        if isinstance(key, str):
            return key
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, (int, float)):
            return str(key)
        if kind_of(type(key)) == "enum":
            return self.key(key.value, where)
        fail_in(where, "a text as a key", key)

    def of_string(self, value, hint, where):
        value = plain(value)
        if not isinstance(value, str):
            fail_in(where, "str", value)
        return str(value)

    def of_int(self, value, hint, where):
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int):
            fail_in(where, "int", value)
        if not -(2**63) <= value < 2**63:
            raise Refused("output", f"{where}: {value} has more than 64 bits")
        return int(value)

    def of_float(self, value, hint, where):
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            fail_in(where, "float", value)
        value = float(value)
        if value != value:
            return "NaN"
        return {float("inf"): "inf", float("-inf"): "-inf"}.get(value, value)

    def of_bool(self, value, hint, where):
        value = plain(value)
        if not isinstance(value, bool):
            fail_in(where, "bool", value)
        return value

    def of_none(self, value, hint, where):
        fail_in(where, "None", value)

    def of_datetime_datetime(self, value, hint, where):
        from datetime import datetime, timezone

        if not isinstance(value, datetime):
            fail_in(where, "datetime", value)
        if value.tzinfo is None:
            raise Refused("output", f"{where}: the datetime {value} has no time zone: give it one, as in datetime.now(timezone.utc)")
        return value.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z"

    def of_datetime_date(self, value, hint, where):
        from datetime import date, datetime

        if not isinstance(value, date) or isinstance(value, datetime):
            fail_in(where, "date", value)
        return value.isoformat()

    def of_datetime_timedelta(self, value, hint, where):
        from datetime import timedelta

        if not isinstance(value, timedelta):
            fail_in(where, "timedelta", value)
        whole = value // timedelta(microseconds=1)
        sign = "-" if whole < 0 else ""
        return f"{sign}{abs(whole) // 1000000}.{abs(whole) % 1000000:06d}"

    # Values of values

    def of_list(self, value, hint, where):
        base = origin(hint) or hint
        is_set = base.__name__ in ("set", "frozenset", "Set", "MutableSet")
        wanted = (set, frozenset) if is_set else (list, tuple)
        if not isinstance(value, wanted) or hasattr(value, "_fields"):
            fail_in(where, "set" if is_set else "list", value)
        if is_set:
            try:
                value = sorted(value)
            except TypeError:
                value = sorted(value, key=repr)
        args = [arg for arg in getattr(hint, "__args__", ()) if type(arg).__name__ != "TypeVar"]
        inner = args[0] if args else NOTHING
        return [self.encode(item, inner, "json", inside(where, f"[{i}]")) for i, item in enumerate(value)]

    def of_tuple(self, value, hint, where):
        if not isinstance(value, (tuple, list)):
            fail_in(where, "tuple", value)
        args = getattr(hint, "__args__", ())
        if len(args) == 2 and args[1] is Ellipsis:
            args = [args[0]] * len(value)
        elif not args:
            args = [NOTHING] * len(value)
        if len(args) != len(value):
            raise Refused("output", f"{where}: expected {len(args)} values, found {len(value)}")
        return [self.encode(item, arg, "json", inside(where, f"[{i}]")) for i, (item, arg) in enumerate(zip(value, args))]

    def of_dict(self, value, hint, where):
        if not isinstance(value, dict):
            fail_in(where, "dict", value)
        args = getattr(hint, "__args__", ())
        inner = args[1] if len(args) == 2 and type(args[1]).__name__ != "TypeVar" else NOTHING
        if len(args) == 2 and unwrapped(args[0])[0] is str:
            wrong = next((key for key in value if not isinstance(key, str)), None)
            if wrong is not None:
                fail_in(f"{where}, a key", "str", wrong)
        return {self.key(key, where): self.encode(item, inner, "json", inside(where, f".{key}")) for key, item in value.items()}

    def of_union(self, value, hint, where):
        refused = None
        for option in members(hint):
            if option is not type(None):
                try:
                    return self.encode(value, option, "json", where)
                except Refused as error:
                    refused = refused or error
        if len([option for option in members(hint) if option is not type(None)]) == 1:
            raise refused
        fail_in(where, name_of(hint), value)

    def of_literal(self, value, hint, where):
        if not any(value == arg and type(value) is type(arg) for arg in hint.__args__):
            raise Refused("output", f"{where}: expected one of {', '.join(map(repr, hint.__args__))}, found {value!r}")
        return value

    def of_enum(self, value, hint, where):
        if not isinstance(value, hint):
            fail_in(where, name_of(hint), value)
        return value.value

    def of_fields(self, value, hints, where):
        return {name: self.encode(item, hints.get(name, NOTHING), "json", inside(where, f".{name}")) for name, item in value.items()}

    def of_dataclass(self, value, hint, where):
        if not isinstance(value, hint):
            fail_in(where, name_of(hint), value)
        return self.of_fields({name: getattr(value, name) for name in hint.__dataclass_fields__}, fields_of(hint), where)

    def of_namedtuple(self, value, hint, where):
        if not isinstance(value, hint):
            fail_in(where, name_of(hint), value)
        return self.of_fields(value._asdict(), fields_of(hint), where)

    def of_typeddict(self, value, hint, where):
        if not isinstance(value, dict):
            fail_in(where, name_of(hint), value)
        hints = fields_of(hint)
        for name in value:
            if name not in hints:
                raise Refused("output", f"{where}: {name_of(hint)} has no field `{name}`")
        return self.of_fields(value, hints, where)

    def of_pydantic(self, value, hint, where):
        if not isinstance(value, hint):
            fail_in(where, name_of(hint), value)
        return value.model_dump(mode="json")

    # Files

    def of_path(self, value, hint, where):
        from pathlib import PurePath

        if not isinstance(value, (str, PurePath)) or isinstance(value, str) and hint is not None:
            fail_in(where, "Path", value)
        path = os.path.abspath(str(value))
        if not os.path.lexists(path):
            raise Refused("output", f"{where}: there is no file {value}")
        own = (os.getcwd() + "/", os.environ["OUT"] + "/")
        if path.startswith(own) and os.path.realpath(path).startswith(tuple(os.path.realpath(p) + "/" for p in own)):
            return path
        # A file from elsewhere, an input among them, is handed over as a copy.
        import shutil

        target = self.place(os.path.basename(path))
        if os.path.isdir(path):
            shutil.copytree(path, target, symlinks=True)
        else:
            shutil.copy(path, target)
        return target

    def of_bytes(self, value, hint, where):
        if not isinstance(value, (bytes, bytearray)):
            fail_in(where, "bytes", value)
        target = self.place(self.name)
        with open(target, "wb") as file:
            file.write(value)
        return target

    def parquet(self, value, hint, where, kind, write):
        if not isinstance(value, hint):
            fail_in(where, kind, value)
        target = self.place(f"{self.name}.parquet")
        write(value, target)
        return target

    def of_pandas(self, value, hint, where):
        return self.parquet(value, hint, where, "DataFrame", lambda frame, target: frame.to_parquet(target))

    def of_polars(self, value, hint, where):
        return self.parquet(value, hint, where, "DataFrame", lambda frame, target: frame.write_parquet(target))

    def of_arrow(self, value, hint, where):
        import pyarrow.parquet

        return self.parquet(value, hint, where, "Table", pyarrow.parquet.write_table)

    def of_array(self, value, hint, where):
        import numpy

        if not isinstance(value, numpy.ndarray):
            fail_in(where, "ndarray", value)
        if value.dtype.hasobject:
            raise Refused("output", f"{where}: an array of Python objects cannot be kept as .npy: give it another dtype")
        target = self.place(f"{self.name}.npy")
        numpy.save(target, value, allow_pickle=False)
        return target

    def of_pickle(self, value, hint, where):
        import pickle

        base = origin(hint) or hint
        if isinstance(base, type) and not isinstance(value, base):
            fail_in(where, name_of(hint), value)
        target = self.place(f"{self.name}.pkl")
        try:
            with open(target, "wb") as file:
                pickle.dump(value, file, protocol=5)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise Refused("output", f"{where}: cannot be pickled: {error}") from None
        return target
