"""The built-in runners, one file a runtime; installed as ``deploybench.runners``."""
