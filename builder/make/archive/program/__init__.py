"""The program inside the archive: it runs on the server, by RHEL 8.3's Python 3.6, with no other library."""
