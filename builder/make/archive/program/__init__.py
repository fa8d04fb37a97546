"""The program inside the archive. It runs on the server: Python 3.6 (RHEL 8.3's platform-python), nothing but its library."""
