"""Which configuration of a model is the best that is still right?

A tuning exports, evaluates and measures by the functions that the commands of these names call, and
chooses. It holds no clock and computes no accuracy of its own.
"""
