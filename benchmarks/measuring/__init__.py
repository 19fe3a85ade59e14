"""What the benchmarks share: turns, percentiles, servers, a load client, the machine, files and charts."""
