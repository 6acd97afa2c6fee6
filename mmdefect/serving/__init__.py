"""Packages behind HTTP: FastAPI and uvicorn, no torch. Extra ``serve``."""
