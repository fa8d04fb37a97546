"""Reading what a person wrote: TOML to frozen models, every problem in one line with file and key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from builder.tools.errors import BadInput

REPOSITORY = Path(__file__).resolve().parents[2]


class Frozen(BaseModel):
    """A closed, immutable record: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


class Bilingual(Frozen):
    """A text that end users read, in Spanish and in English."""

    es: str
    en: str

    def in_language(self, lang: str) -> str:
        """Return the text in `lang`, "es" or "en"."""
        return self.en if lang == "en" else self.es


ModelT = TypeVar("ModelT", bound=BaseModel)


def read_toml(path: Path, model: type[ModelT], *, what: str, **given: Any) -> ModelT:
    """Read a TOML file into a model.

    Args:
        path: the file.
        model: the record that it must fill exactly.
        what: what the file is to the person ("site", "profile").
        given: values that come from elsewhere than the file (a name taken from the path).

    Raises:
        BadInput: it is missing, is no TOML, or a key is unknown, missing or wrong; the message
            names every such key.
    """
    return fill(model, {**load_toml(path, what=what), **given}, path, what=what)


def load_toml(path: Path, *, what: str) -> dict[str, Any]:
    """Return what a TOML file says, unchecked.

    Raises:
        BadInput: it is missing, or is no TOML.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise BadInput(f"the {what} file {path} does not exist", hint="check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid TOML: {error}", hint="correct that line") from error
    except OSError as error:
        raise BadInput(f"the {what} file {path} can't be read: {error.strerror}") from error


def fill(model: type[ModelT], words: Mapping[str, Any], path: Path, *, what: str) -> ModelT:
    """Return a record filled with what `path` says.

    Raises:
        BadInput: a key is unknown, missing or wrong; the message names every such key.
    """
    try:
        return model.model_validate(dict(words))
    except ValidationError as error:
        raise BadInput(
            f"{path}: {explain(error)}", hint=f"see docs/reference/{what}.md for the keys"
        ) from error


def explain(error: ValidationError) -> str:
    """Return all problems of a validation in one line, each with its dotted key."""
    return "; ".join(f"{key}: {text}" for key, text in problems_of(error))


def problems_of(error: ValidationError) -> list[tuple[str, str]]:
    """Return the dotted key and the text of each problem of a validation.

    The values themselves are not repeated: a site file holds password hashes.
    """
    problems = []
    for item in error.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in item["loc"]) or "(file)"
        kind = item["type"]
        if kind == "extra_forbidden":
            text = "unknown key"
        elif kind == "missing":
            text = "is missing"
        else:
            text = item["msg"].removeprefix("Value error, ")
        problems.append((key, text))
    return problems
