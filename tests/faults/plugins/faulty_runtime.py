"""What the faulty runner imports: the phase in which a worker imports its runtime."""

import faulty_plugins
import onnxruntime  # noqa: F401

faulty_plugins.at("import")
