"""``python -m deploybench`` is the ``deploybench`` command."""

import os
import sys

# ``-m`` puts the current folder first: a numpy.py of the user's would be imported for the real one.
if not getattr(sys.flags, "safe_path", False) and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109
    del sys.path[0]

from deploybench.cli.main import main

if __name__ == "__main__":
    main()
