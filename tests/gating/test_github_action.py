"""The action of examples/, its steps carried out as GitHub carries them out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.archive.made import steady, written
from tests.comparisons import host, record

FOLDER = Path(__file__).parents[2] / "examples" / "github-action"
ACTION = yaml.safe_load((FOLDER / "action.yml").read_text("utf-8"))
BASE, NEW = "20260101-000000-aaaa", "20260102-000000-bbbb"
HOSTILE = "net\x1b[31m<script>alert(1)</script>| **b** \n::error::owned\n# [x](http://evil)"


class Job:
    """A working folder in which the action is used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary = folder / "summary.md"
        self.output = folder / "output.txt"

    def use(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        values = {name: about.get("default", "") for name, about in ACTION["inputs"].items()}
        values |= {"baseline": "baseline", "candidate": "candidate"}
        values |= {name.replace("_", "-"): value for name, value in inputs.items()}
        self.summary.write_text("")
        self.output.write_text("")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {
            **os.environ,
            "PATH": path,
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.output),
        }
        (step,) = ACTION["runs"]["steps"]
        for name, text in step["env"].items():
            environment[name] = re.sub(
                r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: values[found[1]], text
            )
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


@pytest.fixture
def job(tmp_path: Path) -> Job:
    written(tmp_path / "baseline", steady(10.0, BASE), steady(10.0, BASE, runner="openvino"))
    return Job(tmp_path)


def candidate(job: Job, ms: float, **changes: object) -> None:
    unchanged = steady(10.0, NEW, seed=1, runner="openvino")
    written(job.folder / "candidate", steady(ms, NEW, **changes), unchanged)


def test_text_of_the_script_holds_no_input() -> None:
    (step,) = ACTION["runs"]["steps"]
    assert "${{" not in step["run"]
    assert set(ACTION["inputs"]) == set(
        re.findall(r"inputs\.([\w-]+)", " ".join(step["env"].values()))
    )


def test_pass_is_exit_0_with_a_table_in_the_summary(job: Job) -> None:
    candidate(job, 10.0)
    done = job.use(max_regression="10%")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = job.summary.read_text()
    assert summary.startswith("## Speed gate: PASS\n\n**PASS: 2 of 2")
    assert "| net · random weights" in summary
    assert job.outputs == {"outcome": "PASS", "exit-code": "0"}


def test_regression_fails_the_job_and_names_the_cell(job: Job) -> None:
    candidate(job, 13.0)
    done = job.use(max_regression="10%")
    assert done.returncode == 1
    assert "**REGRESSION: 1 regressed, 1 of 2" in job.summary.read_text()
    assert "all of it above 10 %" in job.summary.read_text()
    assert job.outputs["outcome"] == "REGRESSION"


def test_noise_fails_or_warns_as_the_input_says_and_stands_in_the_summary(job: Job) -> None:
    noisy = [10.0, 14.0, 9.0, 12.5, 10.1, 15.0, 9.5, 11.0]
    written(job.folder / "candidate", record(noisy, NEW), steady(10.0, NEW, runner="openvino"))
    for policy, code in (("fail", 3), ("warn", 0)):
        done = job.use(on_inconclusive=policy, max_regression="10%")
        assert done.returncode == code, done.stderr
        assert "**INCONCLUSIVE: 1 inconclusive" in job.summary.read_text()
        assert job.outputs == {"outcome": "INCONCLUSIVE", "exit-code": "3"}
        assert ("::warning title=deploybench gate::" in done.stdout) == (policy == "warn")


def test_missing_baseline_is_inconclusive_and_says_where_it_looked(job: Job) -> None:
    candidate(job, 10.0)
    done = job.use(baseline="elsewhere")
    assert done.returncode == 3
    assert "no baseline: there are no records at elsewhere" in job.summary.read_text()
    done = job.use(baseline="elsewhere", on_inconclusive="warn")
    assert (done.returncode, job.outputs["outcome"]) == (0, "INCONCLUSIVE")


def test_further_arguments_are_split_as_a_shell_does_and_nothing_is_run(job: Job) -> None:
    candidate(job, 10.0, machine=host(hostname="another"))
    assert job.use().returncode == 3
    assert job.use(args="--allow host", max_regression="10%").returncode == 0
    done = job.use(args="--allow 'host' --run-shift \"1%\"", max_regression="10%")
    assert done.returncode == 0, done.stdout
    done = job.use(args="--allow host$(touch ran); `touch ran`")
    assert done.returncode == 2
    assert not (job.folder / "ran").exists()


def test_blank_arguments_are_none(job: Job) -> None:
    candidate(job, 10.0)
    for blank in (" ", "\n", "''"):
        # without a candidate an empty word would be taken for one
        job.use(args=blank, candidate="", workspace="w")
        assert "w/records holds no run" in job.summary.read_text()
        done = job.use(args=blank, max_regression="10%")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"rerun_baseline": "perhaps"}, "rerun-baseline is always, never or auto"),
        ({"on_inconclusive": "pass"}, "on-inconclusive is fail or warn"),
        ({"candidate": "--help"}, "candidate begins with a dash"),
        ({"args": "--allow 'host"}, "a quote that is not closed"),
        ({"args": "--allow host --pass-inconclusive"}, "on-inconclusive: warn"),
        ({"args": "'--pass-without-baseline'"}, "on-inconclusive: warn"),
        ({"args": "--help"}, "args left the gate without an outcome"),
    ],
)
def test_input_that_means_nothing_is_refused(job: Job, inputs: dict[str, str], words: str) -> None:
    candidate(job, 10.0)
    done = job.use(**inputs)
    assert (done.returncode, words in done.stdout) == (2, True), done.stdout


def test_refusal_stands_in_the_summary_as_code(job: Job) -> None:
    candidate(job, 10.0)
    next((job.folder / "baseline").rglob("*.json")).write_text("{")
    done = job.use()
    assert done.returncode == 2
    assert "## Speed gate: REFUSED\n\n    error: " in job.summary.read_text()
    assert job.outputs == {"outcome": "REFUSED", "exit-code": "2"}


@pytest.mark.attack(
    kind="Words of others",
    attack="records whose model's name holds HTML, Markdown, ANSI codes and a command to GitHub, "
    "in the summary of a job",
    before="new: there was no action",
    now="shown as text in the summary, and no command in the log",
)
def test_hostile_names_are_inert_in_the_summary_and_in_the_log(job: Job) -> None:
    written(job.folder / "baseline", steady(10.0, BASE, model=HOSTILE))
    candidate(job, 20.0, model=HOSTILE)
    done = job.use()
    summary = job.summary.read_text()
    assert "\\x1b\\[31m" in summary
    assert "\x1b" not in summary + done.stdout
    assert "<script" not in summary.replace("\\<script", "")
    assert not any(line.startswith(("::error::owned", "# [x]")) for line in summary.splitlines())
    # Between the two marks GitHub takes no line for a command.
    stop = re.search(r"::stop-commands::(\w+)\n", done.stdout)
    assert stop is not None
    quoted = done.stdout[stop.end() : done.stdout.index(f"::{stop[1]}::\n")]
    assert "alert" in quoted
    assert "alert" not in done.stdout.replace(quoted, "")


def test_workflow_uses_the_action_with_inputs_that_it_has() -> None:
    workflow = yaml.safe_load((FOLDER / "speed.yml").read_text("utf-8"))
    steps = workflow["jobs"]["speed"]["steps"]
    (used,) = [step for step in steps if "deploybench-gate" in step.get("uses", "")]
    assert set(used["with"]) <= set(ACTION["inputs"])
    assert [name for name, about in ACTION["inputs"].items() if about.get("required")] == [
        "baseline"
    ]
