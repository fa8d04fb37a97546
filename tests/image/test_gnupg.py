"""GnuPG and S/MIME at an administrator's hand (CCN-STIC-681, 6.5.6): keys made, mail signed and encrypted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from facts import ask

from builder.ask.plan import Plan

Seen = Callable[[object], None]

RING = """
ring=$(mktemp -d); cp ~/.gnupg/*.conf $ring; chmod 700 $ring; export GNUPGHOME=$ring; cd $ring
trap 'gpgconf --kill all; rm -rf $ring' EXIT
"""
"""A key ring of the moment, with the policy of the administrator's own."""

OPENPGP = (
    RING
    + """
printf '%s\\n' %no-protection 'Key-Type: default' 'Subkey-Type: default' 'Name-Email: prueba@ejemplo.es' \
    'Expire-Date: 1d' %commit > parameters
gpg --batch --quiet --generate-key parameters 2>/dev/null
echo == key; gpg --batch --list-keys --with-colons | grep -E '^(pub|sub):'
gpg --batch --export | gpg --list-packets | grep -E 'digest algo|pref-(sym|hash)-algos'
echo hola > message
gpg --batch --trust-model always -r prueba@ejemplo.es --sign --encrypt message
echo == opened; gpg --batch --status-fd 1 --decrypt message.gpg 2>/dev/null
for cipher in 3DES CAST5 IDEA BLOWFISH; do
    echo == $cipher
    gpg --batch --trust-model always --cipher-algo $cipher -r prueba@ejemplo.es --encrypt -o $cipher message
done
gpg --batch --quiet --digest-algo SHA1 --clearsign -o sha1 message
echo == SHA1; gpg --batch --verify sha1
echo == recv; gpg --batch --keyserver hkp://127.0.0.1 --recv-keys 0x0123456789ABCDEF
key=$(gpg --batch --list-keys --with-colons 2>/dev/null | awk -F: '$1 == "fpr" { print $10; exit }')
echo == send; gpg --batch --keyserver hkp://127.0.0.1 --send-keys $key
echo == locate; gpg --batch --auto-key-locate wkd,dane,cert --locate-keys nadie@ejemplo.es
echo == end
"""
)

SMIME = (
    RING
    + """
cat > req.cnf <<X
[req]
distinguished_name = name
x509_extensions = ca
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
X
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=prueba -sha256 \
    -config req.cnf 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout user.key -out user.csr -subj /CN=usuario 2>/dev/null
cat > user.ext <<X
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = emailProtection
subjectAltName = email:usuario@ejemplo.es
crlDistributionPoints = URI:http://127.0.0.1/ca.crl
X
openssl x509 -req -in user.csr -CA ca.pem -CAkey ca.key -set_serial 2 -days 1 -sha256 -extfile user.ext \
    -out user.pem 2>/dev/null
: > index; echo 01 > number
cat > ca.cnf <<X
[ca]
default_ca = x
[x]
database = index
crlnumber = number
default_md = sha256
default_crl_days = 2
X
openssl ca -config ca.cnf -gencrl -keyfile ca.key -cert ca.pem -out crl.pem 2>/dev/null
openssl crl -in crl.pem -outform DER -out crl.der
echo "$(openssl x509 -in ca.pem -noout -fingerprint -sha1 | cut -d= -f2) S relax" > trustlist.txt
gpgsm --batch --quiet --import ca.pem user.pem 2>/dev/null
echo hola > message
echo == without; gpgsm --batch -r usuario@ejemplo.es --encrypt -o none message; echo code $?
echo == crl; gpgsm --call-dirmngr loadcrl $PWD/crl.der; echo code $?
echo == with; gpgsm --batch -r usuario@ejemplo.es --encrypt -o message.p7 message; echo code $?
echo == cipher; openssl asn1parse -inform DER -in message.p7 | grep -oE ':(aes|des|rc2)[-a-z0-9]*'
echo == opened; openssl cms -decrypt -inform DER -in message.p7 -recip user.pem -inkey user.key
openssl cms -sign -in message -signer user.pem -inkey user.key -md sha256 -out signed
echo == signed; openssl cms -verify -in signed -CAfile ca.pem -purpose any -out /dev/null; echo code $?
sed -i s/hola/hols/ signed
echo == changed; openssl cms -verify -in signed -CAfile ca.pem -purpose any -out /dev/null; echo code $?
echo == end
"""
)


def sections(text: str) -> dict[str, str]:
    """Return what each part of a script printed, by its name."""
    parts = re.split(r"^== (\S+)\n", text + "\n", flags=re.MULTILINE)
    return {name: said.strip() for name, said in zip(parts[1::2], parts[2::2], strict=True)}


def as_administrator(host: Any, plan: Plan, script: str) -> dict[str, str]:
    done = host.run(f"runuser -l {plan.site.admin.user} -s /bin/sh -c {shlex.quote(script)} 2>&1")
    found = sections(done.stdout)
    assert "end" in found, done.stdout
    return found


@pytest.fixture(scope="module")
def openpgp(plan: Plan, host: Any) -> dict[str, str]:
    return as_administrator(host, plan, OPENPGP)


@pytest.fixture(scope="module")
def smime(plan: Plan, host: Any) -> dict[str, str]:
    return as_administrator(host, plan, SMIME)


@pytest.mark.control("CCN681-6.5.6-01")
def test_signs_and_encrypts(openpgp: dict[str, str], smime: dict[str, str], seen: Seen) -> None:
    seen(f"OpenPGP: {openpgp['opened']}; S/MIME: {smime['opened']}, {smime['signed']}, {smime['changed']}")
    assert "[GNUPG:] GOODSIG " in openpgp["opened"]
    assert "hola" in openpgp["opened"].splitlines()
    assert smime["opened"] == "hola"
    assert smime["signed"].endswith("code 0")
    assert not smime["changed"].endswith("code 0")


@pytest.mark.control("CCN681-6.5.6-02")
def test_key_rings_are_their_owners_alone(plan: Plan, host: Any, seen: Seen) -> None:
    people = [plan.site.admin.user, *(person.user for person in plan.site.roles)]
    homes = ["/root", *(f"/home/{name}" for name in people)]
    facts = ask(
        host,
        {
            "rings": f"stat -c '%a %U %n' {' '.join(f'{home}/.gnupg' for home in homes)}",
            "loose": f"find {' '.join(f'{home}/.gnupg' for home in homes)} -perm /077",
            "policy": "; ".join(
                f"for f in /etc/skel/.gnupg/*; do cmp $f {home}/.gnupg/${{f##*/}}; done" for home in homes
            ),
            "keys": f"find {' '.join(f'{home}/.gnupg' for home in homes)} -name '*.key'",
        },
    )
    seen(facts["rings"])
    assert facts["rings"].splitlines() == [
        f"700 {name} {home}/.gnupg" for name, home in zip(["root", *people], homes, strict=True)
    ]
    assert (facts["loose"], facts["policy"], facts["keys"]) == ("", "", "")


@pytest.mark.control("CCN681-6.5.6-03")
def test_openpgp_uses_strong_algorithms(openpgp: dict[str, str], seen: Seen) -> None:
    key = openpgp["key"].splitlines()
    info = re.search(r"DECRYPTION_INFO \d+ (\d+)", openpgp["opened"])
    digest = re.search(r"VALIDSIG .* (\d+) 00 \w+$", openpgp["opened"], re.MULTILINE)
    seen(f"{key}; {info and info[0]}; {digest and digest[0]}; SHA-1: {openpgp['SHA1']}")
    assert [line.split(":")[2] for line in key if line.startswith(("pub", "sub"))] == ["3072", "3072"]
    assert all("digest algo 10" in line for line in key if "digest algo" in line)
    assert any("pref-sym-algos: 9 8 7" in line for line in key)
    assert any("pref-hash-algos: 10 9 8" in line for line in key)
    assert info
    assert info[1] == "9", "AES256 (RFC 4880, 9.2)"
    assert digest
    assert digest[1] == "10", "SHA512 (RFC 4880, 9.4)"
    for cipher in ("3DES", "CAST5", "IDEA", "BLOWFISH"):
        assert "selected cipher algorithm is invalid" in openpgp[cipher]
    assert "Invalid digest algorithm" in openpgp["SHA1"]


@pytest.mark.control("CCN681-6.5.6-04")
def test_no_key_server_is_asked(openpgp: dict[str, str], seen: Seen) -> None:
    asked = {name: openpgp[name] for name in ("recv", "send", "locate")}
    seen(asked)
    assert all(re.search("No dirmngr|No keyserver available", said) for said in asked.values())


@pytest.mark.control("CCN681-6.5.6-05")
def test_smime_believes_only_what_was_not_revoked(smime: dict[str, str], seen: Seen) -> None:
    seen(f"without a CRL: {smime['without']}; with it: {smime['with']}; {smime['cipher']}")
    assert not smime["without"].endswith("code 0")
    assert "CRL" in smime["without"]
    assert smime["crl"].endswith("code 0")
    assert smime["with"].endswith("code 0")
    assert smime["cipher"] == ":aes-256-cbc"
