"""curate: which pseudo-labels can be trusted, by rules and by reviewers."""
