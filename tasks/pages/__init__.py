"""Pages for people to read after a run: self-contained HTML files, and their publication."""
