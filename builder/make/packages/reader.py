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
    answer = [read_rpm(transaction, *where) for where in request["rpms"]]
    with open(target, "w", encoding="utf-8") as file:
        json.dump(answer, file)


def read_rpm(transaction, path, offset, size):
    """Return what one RPM says of itself, and whether it is what was signed."""
    answer = {"name": "", "epoch": 0, "version": "", "release": "", "arch": "", "key_id": "", "fault": ""}
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        return dict(answer, sha256="", fault=error.strerror)
    try:
        whole = digest(descriptor, offset, offset + size)
        os.lseek(descriptor, offset, os.SEEK_SET)
        header = transaction.hdrFromFdno(descriptor)
        payload = os.lseek(descriptor, 0, os.SEEK_CUR)
        answer.update(identity(header), fault=payload_fault(header, descriptor, payload, offset + size))
    except rpm.error as error:
        answer.update(identity_at(descriptor, offset), fault=str(error))
    finally:
        os.close(descriptor)
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


def payload_fault(header, descriptor, start, end):
    """Return what is wrong with the payload, by the digest in the header, which the signature covers."""
    expected = header[rpm.RPMTAG_PAYLOADDIGEST]
    if not expected:
        return "it holds no payload digest"
    return "" if digest(descriptor, start, end) == expected[0] else "its payload is damaged"


def digest(descriptor, start, end):
    """Return the SHA-256 of a part of a file."""
    found = hashlib.sha256()
    os.lseek(descriptor, start, os.SEEK_SET)
    while start < end:
        data = os.read(descriptor, min(CHUNK, end - start))
        if not data:
            break
        found.update(data)
        start += len(data)
    return found.hexdigest()


if __name__ == "__main__":
    main()
