"""Mail from outside and what it says of its origin: SPF, DKIM, HELO (CCN-STIC-681, 6.5, 6.5.8, 6.5.9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import dkim
import pytest
from letters import Letter, header, submit, write
from smtp import ARRIVE, secure

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest
    from world import World

Seen = Callable[[object], None]

KEY = (
    "cd /run && openssl genrsa -out forja.k 2048 2>/dev/null && cat forja.k"
    " && openssl rsa -in forja.k -pubout -outform DER 2>/dev/null | openssl base64 -A; rm -f forja.k"
)


@pytest.fixture(scope="module")
def inside(plan: Plan) -> str:
    """A recipient of ours."""
    return f"alguien@{plan.site.mail.relay_domains[0]}"


@pytest.fixture(scope="module")
def session(guest: Guest, world: World) -> Iterator[Any]:
    """One session of a peer; its HELO name has an address and no policy."""
    with secure(guest, 25, "peer", helo="peer.clientes.example") as smtp:
        yield smtp


@pytest.fixture(scope="module")
def by_policy(session: Any, inside: str, world: World) -> dict[str, tuple[Letter, tuple[int, str]]]:
    """A message from a domain of each kind -> the answer to it."""
    world.names.broken = {"temperror.example"}
    found = {}
    for name in ("pass", "softfail", "neutral", "none", "fail", "permerror", "temperror"):
        letter = write(f"alguien@{name}.example", inside)
        found[name] = letter, submit(session, letter)
    world.names.broken = set()
    return found


@pytest.mark.control("CCN681-6.5.8-02")
def test_spf_pass_is_taken(by_policy: Any, world: World, seen: Seen) -> None:
    letter, answer = by_policy["pass"]
    said = header(world.next_hop.get(letter.token, ARRIVE).data, "Received-SPF")
    seen(f"{answer}; {said}")
    assert answer[0] == 250
    assert len(said) == 1
    assert said[0].startswith("Pass ")


@pytest.mark.control("CCN681-6.5.8-03")
def test_spf_fail_is_refused(by_policy: Any, world: World, seen: Seen) -> None:
    letter, (code, text) = by_policy["fail"]
    seen(f"{code} {text}")
    assert code == 550
    assert text.startswith("5.7.23 ")
    assert not world.next_hop.having(letter.token)


@pytest.mark.control("CCN681-6.5.8-04")
@pytest.mark.parametrize("name", ["softfail", "neutral"])
def test_spf_softfail_and_neutral_are_marked(by_policy: Any, world: World, name: str, seen: Seen) -> None:
    letter, answer = by_policy[name]
    said = header(world.next_hop.get(letter.token, ARRIVE).data, "Received-SPF")
    seen(f"{answer}; {said}")
    assert answer[0] == 250
    assert said[0].lower().startswith(f"{name} ")


@pytest.mark.control("CCN681-6.5.8-05")
def test_spf_without_a_result(plan: Plan, by_policy: Any, world: World, seen: Seen) -> None:
    letter, answer = by_policy["none"]
    said = header(world.next_hop.get(letter.token, ARRIVE).data, "Received-SPF")
    broken, unanswered = by_policy["permerror"][1], by_policy["temperror"][1]
    seen(f"none: {answer} {said}; permerror: {broken}; temperror: {unanswered}")
    assert answer[0] == 250
    assert said[0].startswith("None ")
    assert broken[0] == (550 if plan.profile.values.spf_permerror == "reject" else 250)
    assert unanswered[0] == 450


@pytest.mark.control("CCN681-6.5.8-03")
def test_nobody_outside_sends_in_our_name(plan: Plan, session: Any, inside: str, seen: Seen) -> None:
    answer = submit(session, write(f"jefatura@{plan.site.mail.domain}", inside))
    seen(answer)
    assert answer[0] == 550


@pytest.mark.control("CCN681-6.5.8-06")
def test_spf_is_asked_of_helo_as_well(guest: Guest, world: World, inside: str, seen: Seen) -> None:
    letter = write("alguien@none.example", inside)
    with secure(guest, 25, "peer", helo="helo.fail.example") as smtp:
        code, text = submit(smtp, letter)
    seen(f"{code} {text}")
    assert code == 550
    assert text.startswith("5.7.23 ")


@pytest.fixture(scope="module")
def foreign_key(host: Any, world: World) -> bytes:
    """The DKIM key of a domain outside; it is published."""
    pem, _, public = host.check_output(KEY).rpartition("\n")
    halves = f'"v=DKIM1; k=rsa; p={public[:200]}" "{public[200:]}"'
    world.names.add(f"s1._domainkey.firmado.example. TXT {halves}")
    return pem.encode()


def signed(letter: Letter, key: bytes) -> Letter:
    """Return the message with a DKIM signature of firmado.example."""
    line = dkim.sign(letter.data, b"s1", b"firmado.example", key, canonicalize=(b"relaxed", b"relaxed"))
    return Letter(letter.token, letter.sender, letter.to, line + letter.data)


@pytest.mark.control("CCN681-6.5.9-02")
def test_signatures_from_outside_are_checked(
    plan: Plan, session: Any, world: World, foreign_key: bytes, inside: str, seen: Seen
) -> None:
    """The result is ours and the only one: what the sender wrote in our name is gone."""
    host_name = plan.site.host.name
    forged = {
        "Authentication-Results": f"{host_name}; dkim=pass header.d=banco.example; spf=pass",
        "Received-SPF": "Pass (fingido) client-ip=192.0.2.9",
    }
    good = signed(write("alguien@firmado.example", inside, headers=forged), foreign_key)
    bare = write("alguien@pass.example", inside, headers=forged)
    answers = [submit(session, letter) for letter in (good, bare)]
    assert [code for code, _ in answers] == [250, 250]
    results = {}
    for what, letter in {"signed": good, "not signed": bare}.items():
        data = world.next_hop.get(letter.token, ARRIVE).data
        results[what] = [
            line for line in header(data, "Authentication-Results") if line.startswith(host_name)
        ]
        assert "fingido" not in header(data, "Received-SPF")[0]
    seen(results)
    assert len(results["signed"]) == len(results["not signed"]) == 1
    assert "dkim=pass" in results["signed"][0]
    assert "header.d=firmado.example" in results["signed"][0]
    assert "dkim=none" in results["not signed"][0]


@pytest.mark.control("CCN681-6.5.9-02")
def test_a_broken_signature(
    plan: Plan, session: Any, world: World, foreign_key: bytes, inside: str, seen: Seen
) -> None:
    good = signed(write("alguien@firmado.example", inside), foreign_key)
    changed = Letter(good.token, good.sender, good.to, good.data.replace(b"Un saludo", b"Un abrazo"))
    assert changed.data != good.data
    code, text = submit(session, changed)
    seen(f"{plan.profile.values.dkim_bad_signature}: {code} {text}")
    if plan.profile.values.dkim_bad_signature == "reject":
        assert code == 550
    else:
        assert code == 250
        data = world.next_hop.get(changed.token, ARRIVE).data
        assert "dkim=fail" in header(data, "Authentication-Results")[0]


@pytest.mark.control("CCN681-6.5-24")
def test_bad_helo_names(plan: Plan, host: Any, guest: Guest, world: World, inside: str, seen: Seen) -> None:
    """Names that are none, and none at all; an address in brackets is a name (RFC 5321, 4.1.3)."""
    halves = ["", "localhost", "sin-dominio", "[10.20.0.1]"], ["10.20.0.1", "nombre_$.example", "a..example"]
    answers: dict[str, int] = {}
    for names in halves:  # fewer errors than slow a session down
        with secure(guest, 25, "peer", helo="peer.clientes.example") as smtp:
            for name in names:
                code = smtp.docmd(f"EHLO {name}".strip())[0]
                if code == 250:
                    code = smtp.docmd("MAIL FROM:<alguien@none.example>")[0]
                    code = smtp.docmd(f"RCPT TO:<{inside}>")[0] if code == 250 else code
                    smtp.docmd("RSET")
                answers[name] = code
    seen(answers)
    assert answers.pop("[10.20.0.1]") == 250
    assert [name for name, code in answers.items() if not 500 <= code < 560] == []
