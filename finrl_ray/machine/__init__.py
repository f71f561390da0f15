"""What this computer and this process have: CPUs, memory, vector instructions."""
