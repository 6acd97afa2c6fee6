"""Benchmark suites that tools/analysis_tools/benchmark.py runs."""
