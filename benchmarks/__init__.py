"""Each claim of speed, as a command: `python -m benchmarks NAME` measures ours and the named peers in one run."""
