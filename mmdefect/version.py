"""The version of this package, importable without any dependency."""

__version__ = '0.1.0'
