"""What people look at after a run: pages of HTML that need nothing else, and how they are published."""
