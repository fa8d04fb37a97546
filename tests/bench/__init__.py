"""`make bench`: how long the commands take, and how much memory, beside others that do the same work."""
