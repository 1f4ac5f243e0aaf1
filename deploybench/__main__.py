"""``python -m deploybench`` is the ``deploybench`` command."""

from deploybench.cli.main import main

if __name__ == "__main__":
    main()
