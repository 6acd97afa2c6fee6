"""The command line ``mmdefect``."""
