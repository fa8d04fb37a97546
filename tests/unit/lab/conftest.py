"""A payload in small."""

from __future__ import annotations

import pytest

from builder.lab.installer.dpkg import Installed, parse_status

STATUS = """\
Package: postfix
Status: install ok installed
Architecture: amd64
Version: 3.7.11-0+deb12u1
Depends: libc6 (>= 2.36), default-mta | mail-helper,
 adduser

Package: adduser
Status: install ok installed
Architecture: all
Version: 3.134

Package: mailer
Status: install ok installed
Architecture: amd64
Provides: mail-helper (= 1), other
Version: 1

Package: libc6
Essential: yes
Status: install ok installed
Architecture: amd64
Version: 2.36

Package: tmux
Status: install ok installed
Architecture: amd64
Version: 3.3a
Depends: libevent (>= 2)

Package: libevent
Status: install ok installed
Architecture: amd64
Version: 2.1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 9
"""


@pytest.fixture
def status() -> str:
    """Return dpkg's status file."""
    return STATUS


@pytest.fixture
def installed() -> dict[str, Installed]:
    """Return the packages that it says are installed."""
    return parse_status(STATUS)
