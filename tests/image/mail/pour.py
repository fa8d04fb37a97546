"""Messages poured into a guest that may lose its power: which ones it answered 250, and which arrived.

A program of its own in the cell, that goes on while the guest is down (tests/integration/test_power_cut.py):

    pour.py CONTEXT FOLDER COUNT

In FOLDER `siguiente.pem` is read; `answered` and `arrived` get a token a line. It goes on until ended.
"""

from __future__ import annotations

import contextlib
import json
import re
import smtplib
import ssl
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2])]

from letters import submit, write  # noqa: E402
from world import open_world  # noqa: E402

from builder.ask.plan import Plan  # noqa: E402

CLIENTS = 4
PER_SESSION = 10
ANSWER_SECONDS = 120.0


class Pourer:
    """Several clients that send until COUNT messages have been answered 250."""

    def __init__(self, plan: Plan, source: str, folder: Path, count: int) -> None:
        self.plan, self.source, self.folder = plan, source, folder
        self.left = count
        self.lock = threading.Lock()
        self.answered = (folder / "answered").open("a", buffering=1)

    def take(self) -> bool:
        """Say whether there is one more message to send."""
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def run(self) -> None:
        """Send, one session after the other; a message that got no 250 is another one's turn."""
        while self.left > 0:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                self.session()
            time.sleep(0.5)

    def session(self) -> None:
        address = (self.source, 0)
        with smtplib.SMTP(
            local_hostname="cliente.ejemplo.org", timeout=ANSWER_SECONDS, source_address=address
        ) as smtp:
            smtp.connect(str(self.plan.site.network.address.ip), 25)
            smtp._host = str(self.plan.site.network.address.ip)  # type: ignore[attr-defined]
            smtp.starttls(context=tls())
            smtp.ehlo()
            for _ in range(PER_SESSION):
                if not self.take():
                    return
                letter = write(f"jefatura@{self.plan.site.mail.domain}", "alguien@destino.example")
                code = 0
                try:
                    code = submit(smtp, letter)[0]
                finally:
                    with self.lock:
                        if code == 250:
                            self.answered.write(f"{letter.token}\n")
                        else:
                            self.left += 1


def tls() -> ssl.SSLContext:
    """Return a TLS client that takes the guest's own certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main(context_file: str, folder_name: str, count: str) -> None:
    context, folder = json.loads(Path(context_file).read_text()), Path(folder_name)
    plan = Plan.model_validate_json(Path(context["plan"]).read_text())
    clients = context["clients"]
    with (
        open_world(plan, clients, folder / "siguiente.pem") as world,
        (folder / "arrived").open("a", buffering=1) as arrived,
    ):
        pourer = Pourer(plan, clients["relay"], folder, int(count))
        for _ in range(CLIENTS):
            threading.Thread(target=pourer.run, daemon=True).start()
        seen = 0
        while True:
            for item in world.next_hop.received[seen:]:
                token = re.search(rb"^Message-ID: <([0-9a-f]{32})@", item.data, re.MULTILINE)
                arrived.write(f"{token[1].decode() if token else 'other'}\n")
                seen += 1
            time.sleep(0.5)


if __name__ == "__main__":
    main(*sys.argv[1:])
