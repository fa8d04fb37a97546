"""Tests that drive the tool as a person does, with the real programs."""
