"""The built-in hardware profiles, one TOML a piece of hardware; installed as
``deploybench.profiles``."""
