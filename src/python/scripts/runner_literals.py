"""Values of flytekit to and from JSON: Literals on one side, what tasks are given and give back on the other.

A part of the program that reads flytekit programs as well, so that it imports nothing of this folder.
"""


def type_of(literal_type, hint=None):
    """The type of a workflow file that a type of flytekit means, and the only values that it allows."""
    from flytekit.models.types import SimpleType

    simple = literal_type.simple
    if simple is not None:
        names = {
            SimpleType.INTEGER: "int", SimpleType.FLOAT: "float", SimpleType.STRING: "string", SimpleType.BOOLEAN: "bool",
            SimpleType.DATETIME: "datetime", SimpleType.DURATION: "duration",
        }
        return names.get(simple, "json"), None
    if literal_type.collection_type is not None:
        return f"list<{type_of(literal_type.collection_type)[0]}>", None
    if literal_type.map_value_type is not None:
        return f"map<{type_of(literal_type.map_value_type)[0]}>", None
    if literal_type.enum_type is not None:
        return "string", list(literal_type.enum_type.values)
    if literal_type.blob is not None:
        return ("dir" if literal_type.blob.dimensionality == 1 else "file"), None
    if literal_type.structured_dataset_type is not None or literal_type.schema is not None:
        return "dir", None
    if literal_type.union_type is not None:
        required = [v for v in literal_type.union_type.variants if v.simple != SimpleType.NONE]
        if len(required) == 1 and len(literal_type.union_type.variants) == 2:
            name, choices = type_of(required[0])
            return (name if name.endswith("?") else name + "?"), choices
        return "json", None
    return "json", None


def seconds(duration):
    """Whole and broken seconds as text, exactly."""
    micros = (duration.days * 86400 + duration.seconds) * 1000000 + duration.microseconds
    sign, micros = ("-" if micros < 0 else ""), abs(micros)
    return f"{sign}{micros // 1000000}.{micros % 1000000:06}".rstrip("0").rstrip(".")


def plain(value):
    """What msgpack or a structure holds, as JSON."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return value


def from_structure(structure):
    """Numbers of a structure are all broken ones; whole ones were whole."""
    import json

    from google.protobuf import json_format

    def whole(value):
        if isinstance(value, dict):
            return {key: whole(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [whole(inner) for inner in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return whole(json.loads(json_format.MessageToJson(structure)))


def to_json(literal, place):
    """A Literal as JSON; `place` is called with the address of each file, folder or data frame, and whether it is a folder."""
    if literal.collection is not None:
        return [to_json(inner, lambda *found, at=at: place(*found, at)) for at, inner in enumerate(literal.collection.literals)]
    if literal.map is not None:
        return {key: to_json(inner, lambda *found, key=key: place(*found, key)) for key, inner in literal.map.literals.items()}
    scalar = literal.scalar
    if scalar is None or scalar.none_type is not None:
        return None
    if scalar.union is not None:
        return to_json(scalar.union.value, place)
    if scalar.primitive is not None:
        primitive = scalar.primitive
        if primitive.datetime is not None:
            value = primitive.datetime
            return value.isoformat() if value.tzinfo else value.isoformat() + "Z"
        if primitive.duration is not None:
            return seconds(primitive.duration) + "s"
        return primitive.value
    if scalar.generic is not None:
        return from_structure(scalar.generic)
    if scalar.binary is not None:
        import msgpack

        return plain(msgpack.unpackb(scalar.binary.value, strict_map_key=False))
    if scalar.blob is not None:
        return place(scalar.blob.uri, scalar.blob.metadata.type.dimensionality == 1)
    if scalar.structured_dataset is not None:
        return place(scalar.structured_dataset.uri, True)
    if scalar.schema is not None:
        return place(scalar.schema.uri, True)
    raise TypeError(f"a value of flytekit that is not known here: {literal}")


def moment(text):
    import re
    from datetime import datetime, timezone

    text = re.sub(r"\.(\d{1,9})", lambda match: "." + (match.group(1) + "000000")[:6], text)
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def to_literal(value, literal_type):
    """JSON as a Literal of a type; files, folders and data frames are paths."""
    from flytekit.models import literals as m
    from flytekit.models.types import LiteralType, SimpleType

    def scalar(**parts):
        return m.Literal(scalar=m.Scalar(**parts))

    if literal_type.union_type is not None:
        variants = literal_type.union_type.variants
        chosen = next((variant for variant in variants if fits(value, variant)), variants[-1])
        return scalar(union=m.Union(to_literal(value, chosen), chosen))
    if value is None:
        return scalar(none_type=m.Void())
    if literal_type.collection_type is not None:
        return m.Literal(collection=m.LiteralCollection([to_literal(v, literal_type.collection_type) for v in value]))
    if literal_type.map_value_type is not None:
        return m.Literal(map=m.LiteralMap({k: to_literal(v, literal_type.map_value_type) for k, v in value.items()}))
    if literal_type.blob is not None:
        return scalar(blob=m.Blob(m.BlobMetadata(literal_type.blob), value))
    if literal_type.structured_dataset_type is not None:
        kind = literal_type.structured_dataset_type
        kind = type(kind)(columns=kind.columns, format=kind.format or "parquet", external_schema_type=kind.external_schema_type,
                          external_schema_bytes=kind.external_schema_bytes)
        return scalar(structured_dataset=m.StructuredDataset(value, m.StructuredDatasetMetadata(kind)))
    if literal_type.schema is not None:
        return scalar(schema=m.Schema(value, literal_type.schema))
    simple = literal_type.simple
    if simple == SimpleType.INTEGER:
        return scalar(primitive=m.Primitive(integer=int(value)))
    if simple == SimpleType.FLOAT:
        return scalar(primitive=m.Primitive(float_value=float(value)))
    if simple == SimpleType.BOOLEAN:
        return scalar(primitive=m.Primitive(boolean=value))
    if simple == SimpleType.STRING or literal_type.enum_type is not None:
        return scalar(primitive=m.Primitive(string_value=value))
    if simple == SimpleType.DATETIME:
        return scalar(primitive=m.Primitive(datetime=moment(value)))
    if simple == SimpleType.DURATION:
        from datetime import timedelta

        return scalar(primitive=m.Primitive(duration=timedelta(seconds=float(str(value).rstrip("s")))))
    import msgpack

    return scalar(binary=m.Binary(msgpack.packb(value), tag="msgpack"))


def fits(value, literal_type):
    """Whether JSON may be of a variant of a union."""
    from flytekit.models.types import SimpleType

    simple = literal_type.simple
    if value is None:
        return simple == SimpleType.NONE
    if literal_type.collection_type is not None:
        return isinstance(value, list) and all(fits(inner, literal_type.collection_type) for inner in value)
    if literal_type.map_value_type is not None:
        return isinstance(value, dict) and all(fits(inner, literal_type.map_value_type) for inner in value.values())
    if literal_type.enum_type is not None:
        return value in literal_type.enum_type.values
    if literal_type.union_type is not None:
        return any(fits(value, variant) for variant in literal_type.union_type.variants)
    if isinstance(value, bool):
        return simple == SimpleType.BOOLEAN
    if isinstance(value, int):
        # A unit without a fraction may be of a float, where there is no int.
        return simple in (SimpleType.INTEGER, SimpleType.FLOAT, SimpleType.DURATION)
    if isinstance(value, float):
        return simple in (SimpleType.FLOAT, SimpleType.DURATION)
    if isinstance(value, str):
        texts = (SimpleType.STRING, SimpleType.DATETIME, SimpleType.DURATION)
        return simple in texts or literal_type.blob is not None or literal_type.structured_dataset_type is not None
    return simple in (SimpleType.STRUCT, SimpleType.BINARY)
