"""The laboratory's installer: carries out a RHEL 8 kickstart with Debian parts, as Anaconda would.

Runs on the medium by itself (Python 3.11, pykickstart, the tools of the payload); imports nothing of
the builder.
"""
