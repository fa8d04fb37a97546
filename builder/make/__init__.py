"""From the plan to artefacts: each module makes one of them, and none knows another."""
