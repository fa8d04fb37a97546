"""What all listings share: their words in both languages, columns, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from builder.ask.reading import Bilingual

WORDS = {
    "all": Bilingual(es="todos", en="all"),
    "always": Bilingual(es="sí", en="yes"),
    "answer": Bilingual(es="respuesta", en="answer"),
    "answered": Bilingual(es="respondido", en="answered"),
    "advanced": Bilingual(es="avanzado", en="advanced"),
    "annex": Bilingual(es="anexo", en="annex"),
    "asked": Bilingual(es="qué pide", en="asked"),
    "basic": Bilingual(es="básico", en="basic"),
    "control": Bilingual(es="control", en="control"),
    "controls": Bilingual(es="controles", en="controls"),
    "disk": Bilingual(es="disco", en="disk"),
    "id": Bilingual(es="id", en="id"),
    "by-the-site": Bilingual(es="según el sitio", en="by the site"),
    "implemented": Bilingual(es="implementado", en="implemented"),
    "in-all": Bilingual(es="en todos", en="in all"),
    "intermediate": Bilingual(es="intermedio", en="intermediate"),
    "level": Bilingual(es="nivel", en="level"),
    "manual": Bilingual(es="manual", en="manual"),
    "mount": Bilingual(es="punto de montaje", en="mount point"),
    "mounts": Bilingual(es="puntos de montaje", en="mount points"),
    "none": Bilingual(es="no", en="no"),
    "not-applicable": Bilingual(es="no aplica", en="not applicable"),
    "overlay": Bilingual(es="overlay", en="overlay"),
    "overlays": Bilingual(es="overlays", en="overlays"),
    "profile": Bilingual(es="perfil", en="profile"),
    "profiles": Bilingual(es="perfiles", en="profiles"),
    "reason": Bilingual(es="motivo", en="reason"),
    "reasons": Bilingual(es="Por qué", en="Why"),
    "rule": Bilingual(es="regla", en="rule"),
    "same": Bilingual(es="iguales en todos", en="the same in all"),
    "section": Bilingual(es="apartado", en="section"),
    "status": Bilingual(es="estado", en="status"),
    "tests": Bilingual(es="pruebas", en="tests"),
    "title": Bilingual(es="título", en="title"),
    "total": Bilingual(es="total", en="total"),
    "value": Bilingual(es="valor", en="value"),
    "values": Bilingual(es="valores", en="values"),
    "where": Bilingual(es="dónde", en="where"),
}


def word(key: str, lang: str) -> str:
    """Return a word of ours in a language; what is no word of ours stays as it is."""
    return WORDS[key].in_language(lang) if key in WORDS else key


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows as lines with their cells below each other; the last cell is not padded."""
    rows = list(rows)
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def as_csv(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as CSV (RFC 4180), without the last line break; the first row has the headings."""
    held = io.StringIO()
    csv.writer(held).writerows(rows)
    return held.getvalue().removesuffix("\r\n")
