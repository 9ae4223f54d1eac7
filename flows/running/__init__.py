"""How flows run from a command line or a deployment: options, servers, outcomes, interrupts."""
