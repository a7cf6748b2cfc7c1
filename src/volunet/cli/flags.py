"""Flags from a model of what may be asked for: name, type, default and help text stand there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from volunet.requests import Request, flag_of

Reader = Callable[[str, str], Any]
"""Makes of a flag and its text a value."""


def flags_of(
    model: type[Request], readers: Mapping[str, Reader] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of a model as flags, behind its own parameters.

    The command gets what was given, and nothing else, as the keyword ``asked``: field → value.

    Args:
        model: The model.
        readers: Field → what makes a value of the flag's text, for what is more than one word.
    """
    readers = readers or {}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            parameter
            for name, parameter in signature(command, eval_str=True).parameters.items()
            if name != "asked"
        ]
        flags = [
            _flag(name, field, readers.get(name)) for name, field in model.model_fields.items()
        ]

        def with_flags(**given: Any) -> None:
            asked = {
                name: readers[name](flag_of(name), value) if name in readers else value
                for name in model.model_fields
                if (value := given.pop(name)) is not None and value is not False
            }
            command(**given, asked=asked)

        with_flags.__name__ = command.__name__
        with_flags.__doc__ = command.__doc__
        parameters = [*own, *flags]
        with_flags.__signature__ = signature(command).replace(  # type: ignore[attr-defined]
            parameters=[parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
        )
        with_flags.__annotations__ = {
            parameter.name: parameter.annotation for parameter in parameters
        }
        return with_flags

    return decorate


def _flag(name: str, field: FieldInfo, reader: Reader | None) -> Parameter:
    text = field.description or ""
    if field.annotation is bool:
        option = typer.Option(flag_of(name), help=text)
        return _parameter(name, Annotated[bool, option], False)
    shown = field.default
    if shown is not None and "default" not in text.lower():
        text = f"{text} Default {shown}."
    kind: Any = str if reader is not None else _plain(field.annotation)
    return _parameter(name, Annotated[kind | None, typer.Option(flag_of(name), help=text)], None)


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _plain(annotation: Any) -> Any:
    """A field's type as a command line has it: without None, and without ranges."""
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    if get_origin(annotation) is Literal or not kinds:
        return annotation
    kind = kinds[0]
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind
