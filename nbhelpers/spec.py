"""What all specs share: validated, frozen, comparable, and with one canonical form to hash."""

import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from nbhelpers.errors import InputError

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Spec(BaseModel):
    """A frozen description. Unknown fields are errors, and so is a bool where a number is meant.

    `canonical()` holds the fields that differ from their defaults, so that a field added later, with
    a default that means "as before", leaves the hash of every older spec as it was. What is not allowed is
    an InputError of one line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **fields: Any):
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise InputError(one_line(error)) from None

    @model_validator(mode="before")
    @classmethod
    def _no_bool_for_a_number(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, Mapping) else ():
            field = cls.model_fields.get(name)
            if field is not None and field.annotation is not bool and has_bool(value):
                raise ValueError(f"{name}: {value!r}: true and false are no numbers")
        return values

    def canonical(self) -> dict[str, Any]:
        """Kind and non-default fields, in plain JSON types."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        kind = {"kind": fields.pop("kind")} if "kind" in fields else {}
        return kind | {
            name: plain(value)
            for name, value in fields.items()
            if value != type(self).model_fields[name].get_default(call_default_factory=True)
        }


def has_bool(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, (list, tuple)) and any(map(has_bool, value)))


def plain(value: Any) -> Any:
    """Specs, tuples and mappings as the JSON types that a record holds."""
    if isinstance(value, Spec):
        return value.canonical()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return value


def named(kind: str, table: Mapping[str, Mapping[str, Any]]) -> Any:
    """The type of a field that holds a name from `table`, or ``{name, ...arguments}``.

    `table` gives each name its arguments with their defaults. Both spellings of a default are the same
    value: the canonical form is the bare name unless an argument differs from its default.
    """

    def check(value: Any) -> Any:
        given = {"name": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
        name = given.pop("name", value)
        if not isinstance(name, str) or name not in table:
            raise ValueError(f"unknown {kind} {name!r}{suggestion(name, table)}")
        for argument, given_value in given.items():
            if argument not in table[name]:
                allowed = ", ".join(table[name]) or "none"
                raise ValueError(f"{kind} {name} has no argument {argument!r} (arguments: {allowed})")
            given[argument] = _argument(f"{kind} {name}: {argument}", given_value, table[name][argument])
        changed = {a: plain(v) for a, v in given.items() if plain(v) != plain(table[name][a])}
        return {"name": name} | changed if changed else name

    return Annotated[str | dict[str, Any], BeforeValidator(check)]


def _argument(field: str, value: Any, default: Any) -> Any:
    """`value` in the type of `default`: true or false, a finite number, a whole number from 1 or a list of such."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{field}: {value!r}: must be true or false")
        return value
    if isinstance(default, float):
        number = None if isinstance(value, bool) else _float(value)
        if number is None or not math.isfinite(number):
            raise ValueError(f"{field}: {value!r}: must be a number")
        return number
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    if isinstance(default, tuple) and not isinstance(value, (list, tuple)):
        raise ValueError(f"{field}: {value!r}: must be a list")
    if any(isinstance(item, bool) or not isinstance(item, int) or item < 1 for item in items):
        raise ValueError(f"{field}: {value!r}: must be a whole number from 1" + (" each" if len(items) > 1 else ""))
    return value


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def arguments(value: str | Mapping[str, Any], table: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Name and complete arguments of a checked `named` value."""
    given = {"name": value} if isinstance(value, str) else dict(value)
    name = given.pop("name")
    return name, dict(table[name]) | given


def suggestion(name: Any, known) -> str:
    """``": did you mean 'x'?"`` or the list of what is known."""
    close = difflib.get_close_matches(name, list(known), n=1) if isinstance(name, str) else []
    return f": did you mean {close[0]!r}?" if close else f" (known: {', '.join(map(str, known))})"


def one_line(error: ValidationError) -> str:
    """A ValidationError as one line: field, value, what is allowed."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    unshown = first["type"] in ("missing", "extra_forbidden") or isinstance(first["input"], (Mapping, Spec))
    shown = "" if unshown else f" {first['input']!r}:"
    return f"{field}:{shown} {reason(first)}" if field else reason(first)


REASONS = {
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be above {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be below {lt:g}",
    "finite_number": "must be finite",
    "literal_error": "must be {expected}",
    "too_short": "needs at least {min_length} value(s)",
    "too_long": "takes at most {max_length} value(s)",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "missing": "is missing or has too few values",
    "extra_forbidden": "there is no such field",
}


def reason(found: Any) -> str:
    """What is allowed, of one entry of ``ValidationError.errors()``."""
    kind = found["type"]
    if kind in REASONS:
        return REASONS[kind].format(**found.get("ctx", {}))
    if kind.startswith("int_"):
        return "must be a whole number"
    if kind.startswith("float_"):
        return "must be a number"
    return found["msg"].removeprefix("Value error, ")
