"""httpx, without its own command line: that brings click, rich and pygments, 0.2 s of CPU at every start."""

from backend_demo.imports import without

with without("httpx._main"):
    import httpx

__all__ = ["httpx"]
