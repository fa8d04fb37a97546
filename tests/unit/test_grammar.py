"""The grammar, its option parsers kept, says what pykickstart by itself says, of any text in any order."""

from __future__ import annotations

import random

import pytest

from builder.ask.plan import make_plan
from builder.ask.profile import profile_names
from builder.make.kickstart import STORAGE_FILE, render_kickstart, render_storage
from builder.tools import grammar

BREAKS = [
    ("skipx\n", "skipx\nskipx --nonsense\n"),
    ("skipx\n", "skipx\nnonsense\n"),
    ("skipx\n", "skipx\nautopart --type=lvm\n"),
    ("skipx\n", "skipx\nautopart --type=nonsense\n"),
    ("skipx\n", "skipx\nraid / --level=77 --device=md0 raid.01\n"),
    ("skipx\n", "skipx\nbtrfs / --data=nonsense btrfs.01\n"),
    ("skipx\n", "skipx\nsnapshot a/b --name=c --when=never\n"),
    ("skipx\n", "skipx\nauthconfig --enableshadow\n"),
    ("skipx\n", "skipx\ninstall\n"),
    ("skipx\n", "skipx\nmount /dev/sda1 /\n"),
    ("--vgname=sistema", "--group=sistema"),
    ("logvol /home ", "logvol "),
    ("rootpw --lock", "rootpw"),
    ("--erroronfail", "--erroronfial"),
    ("%packages --excludeWeakdeps", "%packages --nonsense"),
    ("%addon", "%adon"),
    ("%end\n", ""),
    ("lang es_ES.UTF-8", "lang"),
    ("user --name=", "user --nombre="),
]


def whole(profile: str) -> str:
    plan = make_plan(profile, None, "rhel-8.3")
    storage = render_storage(plan)
    filled = storage.replace("@DISK@", "sda").replace("@SOURCE@", "cdrom")
    return render_kickstart(plan, storage).replace(f"%include {STORAGE_FILE}\n", filled)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [whole(profile) for profile in profile_names()]


def test_what_is_wrong_is_found_in_the_words_of_pykickstart(texts: list[str]) -> None:
    """Right and wrong texts by turns: nothing of one is left for the next."""
    chance = random.Random(8)
    for old, new in chance.sample(BREAKS, len(BREAKS)):
        text = chance.choice(texts)
        assert old in text
        broken = text.replace(old, new, 1)
        found = grammar.check_grammar(broken)
        assert found, (old, new)
        assert found == grammar._read(grammar.plain_parser(), broken)
        assert grammar._read(grammar.new_parser(), broken)
        assert grammar.check_grammar(chance.choice(texts)) == []


def test_what_is_read_is_what_pykickstart_reads(texts: list[str]) -> None:
    for text in [*texts, *reversed(texts)]:
        plain, kept = grammar.plain_parser(), grammar.new_parser()
        for parser in (plain, kept):
            parser.readKickstartFromString(text)
        assert str(kept.handler) == str(plain.handler)
        assert len(kept.handler.scripts) == len(plain.handler.scripts) >= 6
        assert kept.handler.commands.keys() == plain.handler.commands.keys()


def test_nothing_that_a_text_fills_is_shared() -> None:
    one, two = (grammar.new_parser().handler for _ in range(2))
    for name, command in one.commands.items():
        assert command is not two.commands[name]
        assert command.handler is one
        shared = {
            key
            for key, value in vars(command).items()
            if value is vars(two.commands[name]).get(key) and isinstance(value, (list, dict, set))
        }
        assert shared == set(), name
