"""memdesc-tool: generate, apply and regression-test a Linux kernel patch series."""

__version__ = "0.1.0"
