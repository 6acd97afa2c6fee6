"""The laboratory: benchmarks, result files, their tables; not part of the package."""
