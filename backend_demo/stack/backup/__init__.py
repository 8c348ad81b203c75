"""A stack as one file, and back: everything that its servers and users know, as it was at one moment."""
