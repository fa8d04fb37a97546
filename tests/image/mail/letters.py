"""Messages that the tests send: each with a token of its own, that is found again wherever it comes to."""

from __future__ import annotations

import email
import io
import smtplib
import struct
import tarfile
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP, compat32
from email.utils import formatdate
from typing import Any

EICAR = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*").encode()
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
TEXT = "Buenos días:\n\nSe adjunta el informe de la reunión de ayer.\n\nUn saludo.\n"
PE = (
    b"MZ" + b"\x05\x01" + bytes(56) + struct.pack("<I", 0x80) + bytes(64)
    + b"PE\0\0" + struct.pack("<HHIIIHH", 0x14C, 1, 0, 0, 0, 224, 0x102)
    + struct.pack("<HBB", 0x10B, 14, 0) + bytes(64) + struct.pack("<H", 2) + bytes(600)
)  # fmt: skip
"""A Windows program to file(1). Its second word is not a linker's: Postfix's own mark does not fit."""
ELF = (
    b"\x7fELF\x02\x01\x01"
    + bytes(9)
    + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 64, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    + bytes(400)
)


@dataclass(frozen=True)
class Letter:
    """A message, ready to be sent."""

    token: str
    sender: str
    to: str
    data: bytes


def write(
    sender: str,
    to: str,
    *,
    text: str = TEXT,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    files: Mapping[str, bytes] | None = None,
    envelope: str | None = None,
) -> Letter:
    """Compose a message.

    Args:
        sender: its From, and the sender on the envelope unless `envelope` is another one.
        headers: header fields, put on top.
        files: attachments by name.
    """
    token = uuid.uuid4().hex
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    for name, value in dict(headers).items() if isinstance(headers, Mapping) else headers:
        message[name] = value
    message["From"], message["To"] = sender, to
    message["Subject"], message["Date"] = "Informe de la reunión", formatdate()
    message["Message-ID"] = f"<{token}@{sender.rpartition('@')[2]}>"
    message.set_content(text)
    for name, content in (files or {}).items():
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return Letter(token, sender if envelope is None else envelope, to, message.as_bytes())


def submit(smtp: smtplib.SMTP, letter: Letter, *options: str) -> tuple[int, str]:
    """Send a message; return the first answer that is no success, or the one to its end."""
    for command in (
        f"MAIL FROM:<{letter.sender}>{''.join(f' {word}' for word in options)}",
        f"RCPT TO:<{letter.to}>",
        "DATA",
    ):
        code, text = smtp.docmd(command)
        if code not in (250, 354):
            smtp.docmd("RSET")
            return code, text.decode(errors="replace")
    lines = letter.data.split(b"\r\n")
    stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    smtp.send(stuffed + (b"" if stuffed.endswith(b"\r\n") else b"\r\n") + b".\r\n")
    code, text = smtp.getreply()
    return code, text.decode(errors="replace")


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive, compressed by gzip."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            info: Any = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def header(data: bytes, name: str) -> list[str]:
    """Return the values of a header field, unfolded, the first on top."""
    message = email.message_from_bytes(data, policy=compat32)
    return [" ".join(str(value).split()) for value in message.get_all(name, [])]
