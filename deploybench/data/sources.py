"""Where the images of a set lie: files in a folder, or rows of a file that holds many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_files import open_picture
from deploybench.data.image_values import Picture
from deploybench.errors import DeployBenchError


@dataclass(frozen=True)
class ImageFiles:
    """Each image a file; its key is the path within ``root``, with slashes."""

    root: Path

    def picture(self, key: str, spec: Preprocessing) -> Picture:
        """The file's image. Raises DeployBenchError."""
        return open_picture(self.root / key, spec)

    def content(self, key: str) -> bytes:
        """The file's bytes. Raises DeployBenchError."""
        path = self.root / key
        try:
            return path.read_bytes()
        except OSError as error:
            raise DeployBenchError(
                f"{path} cannot be read: {error.strerror}", action="check the permissions"
            ) from None

    def place(self, key: str) -> str:
        """The path of the file."""
        return str(self.root / key)
