"""The command ``mmdefect``: a module a subcommand, loaded when it is asked for."""
