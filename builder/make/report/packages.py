"""What stands on the page about packages: where from, signed by whom, and which advisories they answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from builder.make.resolution import Advisory, Package, Resolution, Signer


@dataclass(frozen=True)
class Signed:
    """A key, and the packages that it signed."""

    signer: Signer
    packages: tuple[Package, ...]


@dataclass(frozen=True)
class Inventory:
    """The packages of an image, as the page shows them."""

    resolution: Resolution
    repositories: dict[str, int]
    """Repository -> how many packages come from it, the most first."""
    signed: tuple[Signed, ...]
    left_out: tuple[Advisory, ...]
    """Of any kind, those of security first."""
    held: tuple[Advisory, ...]
    """Of security."""
    others: int
    """Advisories that are neither of the two."""

    @property
    def own(self) -> list[Signed]:
        """The packages that the organisation's own keys signed, not a vendor."""
        return [signed for signed in self.signed if signed.signer.own and signed.packages]

    @property
    def missing_security(self) -> list[Advisory]:
        """The security advisories that the image does not answer."""
        return [advisory for advisory in self.left_out if advisory.kind == "security"]


def take_inventory(resolution: Resolution) -> Inventory:
    """Return the packages of an image, as the page shows them."""
    counts = Counter(package.repository for package in resolution.packages)
    left_out = [advisory for advisory in resolution.advisories if advisory.state == "left out"]
    held = [item for item in resolution.advisories if (item.state, item.kind) == ("held", "security")]
    return Inventory(
        resolution=resolution,
        repositories=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        signed=tuple(
            Signed(signer, tuple(item for item in resolution.packages if item.signer == signer.fingerprint))
            for signer in resolution.signers
        ),
        left_out=tuple(sorted(left_out, key=lambda advisory: (advisory.kind != "security", advisory.id))),
        held=tuple(sorted(held, key=lambda advisory: advisory.id)),
        others=len(resolution.advisories) - len(left_out) - len(held),
    )
