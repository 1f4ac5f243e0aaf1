# One environment for everything, made on first use. PyTorch's build is large (5.8 GB): it is never made twice.
# Installed modules are compiled when they are first used: most never are, and compiling all takes half a minute.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

DEMO ?= demo-workspace
OLD_STACK ?= build/old-stack
TEST_WORKERS ?= 2
FUZZ_INPUTS ?= 1000000
COMPILED := $(if $(shell command -v g++ clang++ 2>/dev/null),aotinductor)
empty :=
space := $(empty) $(empty)
comma := ,
DEMO_BACKENDS := onnx,openvino,torchscript,pytorch
# `make accuracy-demo`: one model begins with trained weights, the other, of the fair family, with random ones.
ACCURACY_DEMO ?= accuracy-demo-workspace
LITE0 := timm:tf_efficientnet_lite0
FAIR_MEMBER := xca
ACCURACY_RUNNERS := pytorch,torchscript,torch-export,onnxruntime,openvino
# TorchScript and torch.compile are left to you: each of their processes imports torch, for seconds.
DEMO_RUNNERS := pytorch,onnxruntime,openvino

.PHONY: help demo accuracy-demo test lint environment clean-demo gpu-check docker-pins docker-libraries images old-stack page-tools \
	sbom audit wheel docs pictures fuzz faults

help:
	@echo "make demo   export and measure four models on every CPU backend, print the comparison table"
	@echo "make accuracy-demo train two models on a generated set, print accuracy beside latency"
	@echo "make test   lint and run all tests"
	@echo "make lint   ruff, mypy, import-linter"
	@echo "make docs   the project page, in build/site; a broken link or command fails it"
	@echo "make pictures  the pictures of the README and the project page and the example reports, from docs/example-*"
	@echo "make gpu-check     the tests that need a CUDA device, and a report to send"
	@echo "make images        the steps of docker/*/Dockerfile in fresh interpreters, and what they show"
	@echo "make page-tools    a Chromium (apt) and axe-core (npm) for the tests that open a report"
	@echo "make docker-pins   compile docker/*/requirements.in again, with the newest versions that fit"
	@echo "make docker-libraries  read the libraries in every pinned wheel (several GB), and say which are missing"
	@echo "make sbom          a CycloneDX list of every package, and their licences"
	@echo "make audit         known weaknesses of the pinned packages, where they can be asked for"
	@echo "make fuzz          a million inputs for every parser (an hour and more); FUZZ_INPUTS=, FUZZ_MINUTES="
	@echo "make faults        make every fault of tests/faults, and write docs/reliability.md (half an hour)"
	@echo "make wheel         build the wheel twice, and compare"
	@echo "make old-stack     export here, measure on Python 3.10 and torch 2.0 (4 GB; needs a python3.10)"

environment: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "constraints.txt pins versions for Python 3.11 and later; found $$($(PYTHON) -V). Set PYTHON=..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# What an earlier build left here is found first, and would hide new entry points.
	rm -rf deploybench.egg-info
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --no-compile \
		--editable '.[cpu,dev]'
	touch $(READY)

# What compiles with torch is made and measured for the trained model only: the other three would take minutes more.
demo: $(READY)
	mkdir -p $(DEMO)
	$(BIN)/python examples/efficientnet_lite0.py $(DEMO)/efficientnet_lite0.safetensors
	$(BIN)/deploybench export --workspace $(DEMO) --backend $(DEMO_BACKENDS) --model resnet50,vit,efficientnet-b0
	$(BIN)/deploybench export --workspace $(DEMO) --backend $(subst $(space),$(comma),$(strip $(DEMO_BACKENDS) $(COMPILED))) \
		--model timm:tf_efficientnet_lite0 --checkpoint $(DEMO)/efficientnet_lite0.safetensors
	$(BIN)/deploybench predict $(DEMO)/artifacts/timm-tf_efficientnet_lite0/onnx-* \
		$$($(BIN)/python -c 'import skimage; print(skimage.__path__[0])')/data/chelsea.png \
		$$($(BIN)/python -c 'import skimage; print(skimage.__path__[0])')/data/coffee.png
	$(BIN)/deploybench run --workspace $(DEMO) --profile host --runner $(DEMO_RUNNERS) \
		--baseline pytorch --precision-target 1.5% --budget 24s

# Ended anywhere, the same command goes on: what is made, trained, exported, evaluated or measured is not done again.
accuracy-demo: $(READY)
	mkdir -p $(ACCURACY_DEMO)
	test -d $(ACCURACY_DEMO)/brain || $(BIN)/deploybench data make brain-mri-synthetic -o $(ACCURACY_DEMO)/brain \
		--images 2000 --image-size 96
	$(BIN)/python examples/efficientnet_lite0.py $(ACCURACY_DEMO)/efficientnet_lite0.safetensors
	$(BIN)/deploybench study --workspace $(ACCURACY_DEMO) --data $(ACCURACY_DEMO)/brain \
		--models $(LITE0),$(FAIR_MEMBER) --init-from $(LITE0)=$(ACCURACY_DEMO)/efficientnet_lite0.safetensors \
		--image-size 64 --patch-size $(FAIR_MEMBER)=32 --recipe examples/accuracy_demo.json \
		--runner $(subst $(space),$(comma),$(strip $(ACCURACY_RUNNERS) $(COMPILED))) --precision-target 1.5% --budget 8s

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# All that does not measure side by side, each file on one worker; then what measures, with nothing beside it.
# Each session ends with its own summary and its slowest twenty.
test: lint
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --durations 20 -m 'not measures'
	$(BIN)/python -m pytest --durations 20 -m 'measures'

# Every warning is an error: a link that leads nowhere, an anchor that no heading has, a command without a page.
docs: $(READY)
	$(BIN)/python -m sphinx -q -W --keep-going -n -b html -c docs/site docs build/site
	@echo "open build/site/index.html"

pictures: $(READY)
	$(BIN)/python -m benchmarks.pictures

# A program, not pytest's own summary: it refuses where there is no GPU, and lists what was skipped and why.
gpu-check: $(READY)
	$(BIN)/python -m tests.gpu_check

# Without them the tests that need a browser are skipped, and say so. Playwright drives this Chromium and downloads none.
page-tools:
	command -v chromium chromium-browser google-chrome >/dev/null || \
		{ [ "$$(id -u)" = 0 ] && apt-get install --yes --no-install-recommends chromium; } || \
		{ echo "install a Chromium (Debian: apt-get install chromium), or set DEPLOYBENCH_CHROMIUM"; exit 2; }
	npm install --prefix build/axe --no-save axe-core@4

# A profile takes up to 8 GB and some minutes; nothing of it stays but docs/images.md.
images: $(READY)
	$(BIN)/python -m docker.without_docker

docker-pins: $(READY)
	$(BIN)/python -m docker.pins

docker-libraries: $(READY)
	$(BIN)/python -m docker.closure

# Their tools run in environments of their own (uv tool run): nothing is added to this one.
sbom: $(READY)
	$(BIN)/python -m benchmarks.supply_chain sbom licences

audit: $(READY)
	$(BIN)/python -m benchmarks.supply_chain audit

# 10,000 of them are in make test. A failure prints the seed that repeats it.
fuzz: $(READY)
	$(BIN)/python -m benchmarks.fuzz --inputs $(FUZZ_INPUTS) $(if $(FUZZ_MINUTES),--minutes $(FUZZ_MINUTES))

faults: $(READY)
	$(BIN)/python -m benchmarks.faults

wheel: $(READY)
	$(BIN)/python -m benchmarks.supply_chain wheel

old-stack: $(READY)
	$(BIN)/python -m benchmarks.old_stack $(OLD_STACK)

clean-demo:
	rm -rf $(DEMO) $(ACCURACY_DEMO)
