"""The lista de comprobación as a document: what is on it, what can't get into it, the same bytes twice."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from report_sample import sample

from builder.ask.control import Control
from builder.ask.plan import make_plan
from builder.make import report
from builder.make.findings import Finding, Findings, Outcome, Verdict
from builder.make.packages.advisories import why
from builder.make.packages.explain import reason_words
from builder.make.report.page import make_sections
from builder.make.report.words import Words, css_string, visible
from builder.tools.errors import BadInput, StageFailed

HOSTILE = next(value for finding in sample()[1].findings for value in finding.seen if "script" in value)
VOID = {"meta", "link", "br", "use", "path", "circle", "rect"}


class Page(HTMLParser):
    """The page as an auditor's program sees it: elements in order, text of each row, ids, addresses."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.rows: dict[str, str] = {}
        self.text = ""
        self.row = ""
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open, "elements left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.row = found.get("id", "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes another element"
        if tag == "tr":
            self.row = ""

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
        if self.row:
            self.rows[self.row] = self.rows.get(self.row, "") + data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(params=["es", "en"])
def lang(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(lang: str, tmp_path: Path) -> Page:
    return Page(report.write_report(*sample(), tmp_path, lang=lang))


def test_file_name_and_nothing_beside_it(tmp_path: Path) -> None:
    assert report.write_report(*sample(), tmp_path / "new").name == "lista-de-comprobacion.html"
    assert report.write_report(*sample(), tmp_path / "new", lang="en").name == "lista-de-comprobacion.en.html"
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_same_input_gives_the_same_bytes(tmp_path: Path, lang: str) -> None:
    first = report.write_report(*sample(), tmp_path / "1", lang=lang).read_bytes()
    assert report.write_report(*sample(), tmp_path / "2", lang=lang).read_bytes() == first


def test_every_control_is_there_once_with_title_and_verdict(page: Page, lang: str) -> None:
    plan, findings, _ = sample()
    assert sorted(page.rows) == sorted(f"c-{control.id}" for control in plan.controls)
    words = Words(lang)
    for control in plan.controls:
        row = page.rows[f"c-{control.id}"]
        assert control.title.in_language(lang) in row
        badge = re.search(rf"(?:Resultado|Result)\s+({'|'.join(map(words.verdict, Verdict))})\s", row)
        assert badge, row
        assert badge[1] == words.verdict(findings.verdict(control))


def test_every_value_seen_stands_in_the_rows_of_its_controls(page: Page) -> None:
    _, findings, _ = sample()
    for finding in findings.findings:
        for name in finding.controls:
            for value in (finding.test, *finding.seen):
                assert visible(value) in page.rows[f"c-{name}"]


def test_reasons_are_given(page: Page, lang: str) -> None:
    plan, findings, _ = sample()
    for finding in findings.findings:
        for name in finding.controls:
            if finding.reason:
                assert finding.reason.in_language(lang) in page.rows[f"c-{name}"]
    for control in plan.controls:
        if control.reason:
            assert control.reason.in_language(lang) in page.rows[f"c-{control.id}"]
    assert Words(lang).text("no_test") in page.rows["c-RHEL-TIME-01"]
    assert Words(lang).text("no_value") in page.rows["c-CCN681-6.5-10"]


def test_numbers_add_up(page: Page, lang: str) -> None:
    plan, findings, _ = sample()
    sums = findings.sums(plan.controls)
    assert sums == {
        Verdict.HOLDS: 21,
        Verdict.FAILS: 2,
        Verdict.NOT_VERIFIED: 3,
        Verdict.MANUAL: 2,
        Verdict.NOT_APPLICABLE: 1,
    }
    sections = make_sections(plan, findings, Words(lang))
    for verdict, count in sums.items():
        assert sum(section.sums[verdict] for section in sections) == count
    ring = [attrs for attrs in page.all("circle") if attrs.get("class") == "slice"]
    lengths = [int(attrs["stroke-dasharray"].split()[0]) for attrs in ring]
    assert lengths == [count for count in sums.values() if count]


def test_sections_run_in_numeric_order_and_the_base_comes_last(tmp_path: Path) -> None:
    plan, findings, _ = sample()
    more = [("6.5.10", "X-6.5.10-01"), ("5 a)", "X-5.a-01"), ("ORG", "X-ORG-01")]
    extra = tuple(Control(id=id, section=section, title=plan.controls[0].title) for section, id in more)
    first, *others = plan.overlays
    overlays = (first.model_copy(update={"controls": (*first.controls, *extra)}), *others)
    sections = make_sections(plan.model_copy(update={"overlays": overlays}), findings, Words("es"))
    numbers = [section.number for section in sections]
    assert numbers.index("5 a)") == numbers.index("5") + 1
    assert numbers.index("6.5.10") == numbers.index("6.5.7") + 1
    assert numbers[-2:] == ["ORG", "600"]
    titles = {section.number: section.title for section in sections}
    assert titles["5 a)"] == titles["5"]
    assert titles["ORG"] == ""
    base = [row.control.id for row in sections[-1].rows]
    assert base.index("RHEL-SSHD-02") < base.index("RHEL-SSHD-10")


def test_places_are_those_of_the_platform(page: Page) -> None:
    assert "/boot/grub/forja.cfg" in page.rows["c-RHEL-SELINUX-01"]
    assert "/boot/grub2/forja.cfg" in page.rows["c-RHEL-SELINUX-01"]
    assert "overlays/postfix" in page.rows["c-CCN681-6.4.1-01"]
    assert "kickstarts/partials/50-storage.ks.j2" in page.rows["c-CCN681-5-01"]
    places = page.rows["c-CCN681-6.5.4-03"].rpartition("/etc/postfix/main.cf")[2]
    assert "relay.key" not in places, "the example site brings no key, so the overlay has none"


def test_identity_of_the_image(page: Page, lang: str) -> None:
    subject = sample()[1].subject
    for value in (subject.image, subject.sha256, subject.system, subject.postfix, subject.firmware):
        assert value in page.text
    size, date = {
        "es": ("1,38 GiB (1\u00a0482\u00a0686\u00a0464 bytes)", "24 de noviembre de 2026, 17:58:18 UTC"),
        "en": ("1.38 GiB (1,482,686,464 bytes)", "24 November 2026, 17:58:18 UTC"),
    }[lang]
    assert size in page.text
    assert date in page.text
    assert page.all("html")[0]["lang"] == lang


def test_the_laboratory_is_named_loudly_and_rhel_is_not(tmp_path: Path) -> None:
    lab = report.write_report(*sample(), tmp_path)
    page = Page(lab)
    assert [attrs["class"] for attrs in page.all("p") if attrs.get("class") == "mark"] == ["mark", "mark"]
    assert "LABORATORIO" in lab.read_text(encoding="utf-8").split("@top-center")[2].split("}")[0]
    assert "LABORATORIO" not in report.write_report(*sample("rhel-8.3"), tmp_path).read_text(encoding="utf-8")


def test_hostile_evidence_is_text(page: Page, tmp_path: Path) -> None:
    assert visible(HOSTILE) in page.rows["c-RHEL-SSHD-10"]
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    assert r"\x1b[31mred\u202e" in page.text
    assert not page.all("script")
    assert not page.all("img")


def test_hostile_image_name_stays_a_css_string(tmp_path: Path) -> None:
    plan, findings, _ = sample()
    name = '</style><b>"} * { display: none } \\'
    subject = findings.subject.model_copy(update={"image": name})
    plain = Page(report.write_report(plan, findings, None, tmp_path))
    page = Page(report.write_report(plan, findings.model_copy(update={"subject": subject}), None, tmp_path))
    assert name in page.text
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert re.fullmatch(r'"(?:[A-Za-z0-9]|\\[0-9a-f]+ )*"', css_string(name))


def test_nothing_comes_from_outside(page: Page, tmp_path: Path, lang: str) -> None:
    for tag, attrs in page.elements:
        assert not [name for name in attrs if name.startswith("on") or name == "style"], (tag, attrs)
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert attrs.get(name, "#").startswith("#") or attrs[name] == "data:,", (tag, attrs)
    text = (tmp_path / report.report_name(lang)).read_text(encoding="utf-8")
    style = text.split("<style>")[1].split("</style>")[0]
    assert not re.search(r"@import|src:|url\((?!#)", style)
    policy = next(attrs["content"] for attrs in page.all("meta") if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_links_land_and_ids_are_unique(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [attrs["href"][1:] for _, attrs in page.elements if attrs.get("href", "").startswith("#")]
    assert targets
    assert set(targets) <= set(ids)
    labels = [name for _, attrs in page.elements for name in attrs.get("aria-labelledby", "").split()]
    assert set(labels) <= set(ids)


def test_headings_and_tables_can_be_walked(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(attrs.get("scope") in {"col", "row"} for attrs in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))


def test_colours_are_readable() -> None:
    style = (report.FOLDER / "style.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", style))
    names = [verdict.name.lower() for verdict in Verdict]
    pairs = [(name, f"{name}-tint") for name in names] + [(name, "paper") for name in names]
    pairs += [
        ("ink", "paper"),
        ("ink", "faint"),
        ("quiet", "paper"),
        ("quiet", "faint"),
        ("link", "paper"),
        ("mark-ink", "mark"),
    ]
    for ink, paper in pairs:
        assert _contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)


def _contrast(one: str, two: str) -> float:
    """Contrast ratio by WCAG 2.1."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("controls", [("RHEL-SSHD-01", "RHEL-NOBODY-01"), ()])
def test_a_finding_of_no_known_control_is_refused(tmp_path: Path, controls: tuple[str, ...]) -> None:
    plan, findings, _ = sample()
    stray = Finding(
        test="tests/image/test_x.py::test_y",
        controls=controls,
        when=findings.subject.began,
        outcome=Outcome.PASSED,
    )
    wrong = Findings(subject=findings.subject, findings=(*findings.findings, stray))
    with pytest.raises(StageFailed, match=r"test_y names (the control RHEL-NOBODY-01|no control)"):
        report.write_report(plan, wrong, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'fr'"):
        report.write_report(*sample(), tmp_path, lang="fr")
    assert list(tmp_path.iterdir()) == []


def test_all_good_says_so(tmp_path: Path, lang: str) -> None:
    plan, findings, resolution = sample("rhel-8.3")
    good = [control for control in plan.controls if findings.verdict(control) is Verdict.HOLDS]
    known = {control.id for control in good}
    kept = tuple(
        finding.model_copy(update={"controls": tuple(name for name in finding.controls if name in known)})
        for finding in findings.findings
        if known & set(finding.controls)
    )
    overlay = plan.overlays[0].model_copy(update={"controls": tuple(good), "files": ()})
    whole = plan.model_copy(update={"overlays": (overlay,)})
    seen = Findings(subject=findings.subject, findings=kept)
    own = resolution.signers[-1].fingerprint
    vendors = tuple(package for package in resolution.packages if package.signer != own)
    answered = tuple(advisory for advisory in resolution.advisories if advisory.state != "left out")

    def all_good(**changes: object) -> bool:
        packages = resolution.model_copy(update={"packages": vendors, "advisories": answered} | changes)
        page = Page(report.write_report(whole, seen, packages, tmp_path, lang=lang))
        return Words(lang).text("attention_none") in page.text

    assert all_good()
    assert not all_good(packages=resolution.packages)
    assert not all_good(advisories=resolution.advisories)


# --- Packages -------------------------------------------------------------------------------------


def part(page: Page, before: str, after: str) -> str:
    """Return the text between two headings; the words of both are on the page more than once."""
    return page.text.rpartition(f"\n{before}\n")[2].partition(f"\n{after}\n")[0]


def test_every_package_is_listed_with_origin_key_and_reason(page: Page, lang: str) -> None:
    words, resolution = Words(lang), sample()[2]
    listed = part(page, words.text("packages_all"), words.text("signatures"))
    for package in resolution.packages:
        found = re.search(
            rf"{re.escape(package.nevra)}\s[^:]+?{package.repository}\s.*?{package.signer[-16:]}",
            listed,
            re.S,
        )
        assert found, package.nevra
        assert words.phrase(package.reason) in listed
    assert len(page.all("details")) == 1
    assert resolution.medium in page.text


def test_keys_and_the_organisations_own_loudly(page: Page, lang: str) -> None:
    resolution = sample()[2]
    for signer in resolution.signers:
        assert signer.name in page.text
        assert signer.fingerprint in page.text
    assert [attrs for attrs in page.all("p") if attrs.get("class") == "mark own"]
    loud = {"es": "1 paquete no lleva la firma de ningún", "en": "1 package carries no vendor's signature"}[
        lang
    ]
    assert page.text.count(loud) == 2  # in what needs attention, too
    key = rf"Ejemplo & Cía <clave@ejemplo.es> \({resolution.signers[2].fingerprint}\)"
    assert re.search(rf"{loud}.*{key}\s+forja-agente\s", page.text)


def test_advisories_held_and_left_out(page: Page, lang: str) -> None:
    words = Words(lang)
    left_out = part(page, words.text("table_left_out"), words.text("table_held"))
    held = part(page, words.text("table_held"), words.text("packages_all"))
    assert "PRUEBA-2021:9001" in left_out
    assert "postfix-2:3.5.8-1.el8.x86_64" in left_out
    assert "CVE-2099-0001" in left_out
    assert "Inaudita" in left_out
    assert {
        "es": "postfix está fijado en 3.3.1-12.el8_3.1; el libicu más nuevo no se puede instalar",
        "en": "postfix is pinned to 3.3.1-12.el8_3.1; the newer libicu can't be installed",
    }[lang] in left_out
    assert "PRUEBA-2021:0218" in held
    assert "CVE-2021-3156, CVE-2021-23239" in held
    assert {"es": "importante", "en": "important"}[lang] in held
    for count, key in ((1, "held"), (1, "left_out"), (2, "others")):
        assert words.counted(count, key) in page.text
    assert "PRUEBA-2021:9002" not in page.text, "it is about nothing that is installed"


def test_without_a_list_of_packages_the_page_says_so(tmp_path: Path, lang: str) -> None:
    plan, findings, resolution = sample()
    page = Page(report.write_report(plan, findings, None, tmp_path, lang=lang))
    assert Words(lang).text("packages_unknown") in page.text
    bare = resolution.model_copy(update={"advisories": ()})
    page = Page(report.write_report(plan, findings, bare, tmp_path, lang=lang))
    assert Words(lang).text("advisories_none") in page.text


def test_all_that_a_list_of_packages_says_is_said_in_spanish() -> None:
    plan = make_plan("clasificado", None, "rhel-8.3")
    kinds = [
        ("group", "core"),
        ("needed", "bash-0:1-1.x86_64"),
        ("needed", ""),
        ("asked", "sudo"),
        ("asked", "x"),
    ]
    said = [reason_words(plan, *kind) for kind in kinds] + [why(name, plan) for name in ("postfix", "sudo")]
    assert len(set(said)) == len(said)
    assert [text for text in said if Words("es").phrase(text) == text] == []
    assert [text for text in said if Words("en").phrase(text) != text] == []
