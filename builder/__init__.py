"""Forja: hardened, verified golden images of a Postfix relay on RHEL 8.3 (CCN-STIC-681)."""

__version__ = "0.1.0"
