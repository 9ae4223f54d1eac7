"""Whether the newest photographs differ from earlier ones: permutation tests on several statistics."""
