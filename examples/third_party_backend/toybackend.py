from deploybench.contracts import (
    INPUT_NAME,
    OUTPUT_NAME,
    ExportedFiles,
    Exporter,
    Runner,
    Session,
    SessionFacts,
)


class ToyExporter(Exporter):
    name = "toy"  # also the format of its artifacts
    precisions = frozenset({"fp32"})
    requires = ("torch",)  # modules that must be importable
    install = "toybackend[torch]"  # what pip installs for them
    distributions = ("toybackend", "torch")  # versions that belong to the artifact's key

    def export(self, model, example, spec, out):
        import torch

        traced = torch.jit.trace(model, example)
        traced.save(out / "model.toy")
        return ExportedFiles("model.toy", {"nodes": len(list(traced.inlined_graph.nodes()))})


class ToySession(Session):
    def __init__(self, artifact, options):
        import torch

        super().__init__(artifact.batch_shape(options.batch))
        self.torch, self.threads = torch, options.threads
        self.prepare_thread()
        self.module = torch.jit.load(artifact.entry)

    def prepare_thread(self):
        self.torch.set_num_threads(self.threads)

    def _infer(self, inputs):
        with self.torch.inference_mode():
            logits = self.module(self.torch.from_numpy(inputs[INPUT_NAME]))
        return {OUTPUT_NAME: logits.numpy()}

    def facts(self):
        return SessionFacts("fp32", self.torch.get_num_threads(), "torch.jit", "cpu")


class ToyRunner(Runner):
    name = "toy"
    formats = frozenset({"toy"})
    requires = ("torch",)
    install = "toybackend[torch]"
    distributions = ("torch",)

    def load(self, artifact, options):
        return ToySession(artifact, options)
