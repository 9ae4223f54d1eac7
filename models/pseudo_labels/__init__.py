"""How far a derained version of a real photograph can be trusted without its truth."""
