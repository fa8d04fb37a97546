"""The folder of one image: the names of all that is made in it, and its plan and packages read back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.ask.plan import Plan
from builder.ask.reading import ModelT
from builder.make import report
from builder.make.findings import Findings
from builder.make.resolution import Resolution
from builder.tools.errors import BadInput
from builder.tools.memory import Memory


@dataclass(frozen=True)
class Room:
    """The folder of one image, and the names of all that is made in it."""

    folder: Path
    plan: Plan

    @classmethod
    def at(cls, folder: Path) -> Room:
        """Return the room of a folder that holds a plan.

        Raises:
            BadInput: it holds none.
        """
        return cls(folder.resolve(), read_plan(folder / "plan.json"))

    @property
    def memory(self) -> Memory:
        """The stages in their order, each with the artefacts that it leaves."""
        name, profile = self.plan.name, self.plan.profile.name
        return Memory(
            self.folder,
            {
                "plan": ["plan.json", *(["server.json"] if self.plan.closed else [])],
                "packages": ["packages.json", "packages.lock"],
                "kickstart": [f"{profile}.ks"],
                "overlay": [f"{name}.overlay.tar"],
                "medium": [f"{name}.iso"],
                "image": [f"{name}.qcow2"],
                "vhdx": [f"{name}.vhdx"],
                "domain": [f"{name}.libvirt.xml"],
                "verification": ["findings.json", "verification.xml"],
                "report": list(report.FILES),
                "manifest": ["manifest.json", "SHA256SUMS"],
            },
        )

    def path(self, stage: str) -> Path:
        """Return the (first) artefact of a stage."""
        return self.folder / self.memory.stages[stage][0]

    @property
    def server(self) -> Plan:
        """The plan of the server that is verified: of a closed image, the one that a seed makes of a copy.

        Raises:
            BadInput: it is missing, or was written by another version of Forja.
        """
        return read_plan(self.folder / "server.json") if self.plan.closed else self.plan

    @property
    def logs(self) -> Path:
        """The folder of every stage's log."""
        return self.folder / "logs"


def read_plan(path: Path) -> Plan:
    """Return the plan of a `plan.json`.

    Raises:
        BadInput: it is missing, or was written by another version of Forja.
    """
    return _read(path, Plan, what="plan", hint="give the one beside the image, with --plan")


def read_resolution(path: Path) -> Resolution:
    """Return the packages of a `packages.json`; raises as `read_plan`."""
    hint = "put the packages.json of the image's build beside it"
    return _read(path, Resolution, what="list of packages", hint=hint)


def read_findings(path: Path) -> Findings:
    """Return what verification saw, from a `findings.json`; raises as `read_plan`."""
    return _read(path, Findings, what="list of findings", hint="verify the image again: `forja verify IMAGE`")


def _read(path: Path, model: type[ModelT], *, what: str, hint: str) -> ModelT:
    try:
        return model.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is no {what} of this version of Forja", hint=hint) from error


def fresh(log: Path) -> Path:
    """Return a log's path, with nothing of an earlier run in it."""
    log.unlink(missing_ok=True)
    return log
