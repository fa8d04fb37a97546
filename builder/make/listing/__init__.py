"""Listings: the catalogue, CCN's requirements, the profiles and their differences, as text, CSV or JSON."""

from builder.make.listing.controls import list_controls, readme_sums
from builder.make.listing.profiles import list_differences, list_profiles
from builder.make.listing.requirements import list_requirements

__all__ = ["list_controls", "list_differences", "list_profiles", "list_requirements", "readme_sums"]
