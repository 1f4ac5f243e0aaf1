"""The built-in exporters, one file a backend; installed as ``deploybench.exporters``."""
