"""The base that the guide presumes: CCN's requirements for the operating system, each with our answer.

Ids and levels are those of CCN-STIC-610A22 (RHEL 9) as ComplianceAsCode maps them, carried to RHEL 8.3.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from builder.ask.overlay import FOLDER
from builder.ask.reading import Bilingual, Frozen, explain
from builder.tools.errors import BadInput

FILE = FOLDER / "ccn-stic-610.tsv"
LOWEST = {"basic": "ens-basica", "intermediate": "ens-media", "advanced": "ens-alta"}
"""Level of a requirement -> the lowest profile that must hold it; those above hold it too."""


class Requirement(Frozen):
    """One requirement: CCN's control, the rule that checks it (`-`: none), what is asked, our answer."""

    ccn: str = Field(pattern=r"^(A\.\d+\.SEC-RHEL\d+|[a-z_]+)$")
    level: Literal["basic", "intermediate", "advanced"]
    rule: str = Field(pattern=r"^(-|[A-Za-z0-9_-]+)$")
    asked: Bilingual
    controls: tuple[str, ...] = ()
    """Our controls that answer it; none where it does not apply, for the reason given."""
    reason: Bilingual | None = None
    """Why it does not apply, or why it is answered otherwise than CCN says or from a higher profile on."""

    @property
    def answered(self) -> bool:
        """Whether a control of ours answers it; otherwise it does not apply."""
        return bool(self.controls)

    @model_validator(mode="after")
    def _answered_or_explained(self) -> Self:
        if not self.controls and self.reason is None:
            raise ValueError("answer: n/a needs a reason")
        return self


def read_requirements() -> tuple[Requirement, ...]:
    """Return all requirements in CCN's order.

    Raises:
        BadInput: the table is missing, or a row of it is wrong; the message names the row.
    """
    try:
        with FILE.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{FILE} can't be read: {error}") from error
    return tuple(_parse(number, row) for number, row in enumerate(rows, start=2))


def _parse(number: int, row: dict[str, str]) -> Requirement:
    try:
        answer = row["answer"].split()
        reason = {"es": row["reason_es"], "en": row["reason_en"]}
        return Requirement.model_validate(
            {
                **{key: row[key] for key in ("ccn", "level", "rule")},
                "asked": {"es": row["asked_es"], "en": row["asked_en"]},
                "controls": () if answer == ["n/a"] else tuple(answer),
                "reason": reason if all(reason.values()) else None,
            }
        )
    except ValidationError as error:
        raise BadInput(f"{FILE}, line {number}: {explain(error)}") from error
    except (KeyError, AttributeError) as error:
        raise BadInput(f"{FILE}, line {number}: a column is missing") from error


def sums(requirements: Iterable[Requirement]) -> dict[str, Counter[str]]:
    """Return level -> `answered` or `not-applicable` -> number of requirements."""
    found = {level: Counter[str]() for level in LOWEST}
    for item in requirements:
        found[item.level]["answered" if item.answered else "not-applicable"] += 1
    return found
