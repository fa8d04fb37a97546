"""RPM files read by the system's own rpm: signature, digests and identity, each file by itself.

A program of its own: it is run by the system's Python (3.6 or later), where the rpm bindings live, reads a
JSON request and writes a JSON answer: the two files that it is called with. A file may lie inside another one
(an RPM in an ISO): `offset` and `size` say where.

Request: database (an empty folder for the keys), keys [base64 of binary OpenPGP keys], rpms [[path, offset,
size]]. Answer, in the same order: name, epoch, version, release, arch, key_id ("" when unsigned), sha256 and
fault ("" when signature and digests are right).
"""

import base64
import hashlib
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import rpm

CHUNK = 1 << 20
SIGNATURE = "%|RSAHEADER?{%{RSAHEADER:pgpsig}}:{%|DSAHEADER?{%{DSAHEADER:pgpsig}}:{}|}|"


def main():
    """Answer one request."""
    question, target = sys.argv[1:]
    with open(question, encoding="utf-8") as file:
        request = json.load(file)
    rpm.addMacro("_dbpath", request["database"])
    # rpm's own words about each file would only repeat the answer.
    rpm.setLogFile(open(os.devnull, "w"))
    transaction = rpm.TransactionSet()
    for key in request["keys"]:
        transaction.pgpImportPubkey(base64.b64decode(key))
    # hashlib lets other threads run while it works; rpm itself is called by one thread at a time.
    lock = threading.Lock()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        answer = list(pool.map(lambda where: read_rpm(transaction, lock, *where), request["rpms"]))
    with open(target, "w", encoding="utf-8") as file:
        json.dump(answer, file)


def read_rpm(transaction, lock, path, offset, size):
    """Return what one RPM says of itself, and whether it is what was signed."""
    answer = {"name": "", "epoch": 0, "version": "", "release": "", "arch": "", "key_id": "", "fault": ""}
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        return dict(answer, sha256="", fault=error.strerror)
    expected, payload = "", offset
    try:
        with lock:
            os.lseek(descriptor, offset, os.SEEK_SET)
            try:
                header = transaction.hdrFromFdno(descriptor)
                payload = os.lseek(descriptor, 0, os.SEEK_CUR)
                answer.update(identity(header))
                expected = (header[rpm.RPMTAG_PAYLOADDIGEST] or [""])[0]
                if not expected:
                    answer["fault"] = "it holds no payload digest"
            except rpm.error as error:
                answer.update(identity_at(descriptor, offset), fault=str(error))
        whole, part = digest(descriptor, offset, payload, offset + size)
    finally:
        os.close(descriptor)
    if expected and part != expected:
        answer["fault"] = "its payload is damaged"
    return dict(answer, sha256=whole)


def identity_at(descriptor, offset):
    """Return what an RPM says of itself though its signature can't be checked; nothing when it is damaged."""
    careless = rpm.TransactionSet("", rpm._RPMVSF_NOSIGNATURES)
    os.lseek(descriptor, offset, os.SEEK_SET)
    try:
        return identity(careless.hdrFromFdno(descriptor))
    except rpm.error:
        return {}


def identity(header):
    """Return name, version and signer of a header that rpm has checked."""
    signature = header.format(SIGNATURE)
    source = header[rpm.RPMTAG_SOURCEPACKAGE]
    return {
        "name": header[rpm.RPMTAG_NAME],
        "epoch": header[rpm.RPMTAG_EPOCHNUM],
        "version": header[rpm.RPMTAG_VERSION],
        "release": header[rpm.RPMTAG_RELEASE],
        "arch": "src" if source else header[rpm.RPMTAG_ARCH],
        "key_id": signature.rsplit(" ", 1)[-1],
    }


def digest(descriptor, start, middle, end):
    """Return the SHA-256 of a part of a file, and that of what lies after `middle`, read once."""
    whole, rest = hashlib.sha256(), hashlib.sha256()
    while start < end:
        stop = min(start + CHUNK, middle if start < middle else end)
        data = os.pread(descriptor, stop - start, start)
        if not data:
            break
        whole.update(data)
        if start >= middle:
            rest.update(data)
        start += len(data)
    return whole.hexdigest(), rest.hexdigest()


if __name__ == "__main__":
    main()
