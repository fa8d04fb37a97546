"""The laboratory medium: a stand-in DVD with Debian content, and the installer on it."""
