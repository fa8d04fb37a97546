"""Media that tests make themselves: signed RPMs, repositories and DVDs, by the field's own tools.

Nothing of Red Hat's is in here: the packages carry the real names and versions, and hold a few lines of text.
"""
