"""Curation: selecting trustworthy pseudo-labels by rules and by reviewers' decisions."""
