"""What the verdicts on many claims are worth together."""

from collections.abc import Sequence

import numpy as np

from analysis.claims.claim import Verdict
from analysis.claims.findings import Finding
from analysis.claims.power import ERROR

DECIDED = (Verdict.SUPPORTED, Verdict.CONTRADICTED)


def family_reading(findings: Sequence[Finding]) -> str:
    """Say how many verdicts would come out wrong by chance, and which stand against all of that.

    Those stand whose p-value is below 0.025 over the number of claims measured (Bonferroni): the
    chance that even one of them is wrong is at most 2.5 %, however the claims hang together.

    Args:
        findings: of claims and hypotheses, all that were asked of the same runs.
    """
    measured_findings = [finding for finding in findings if not np.isnan(finding.p)]
    decided_findings = [finding for finding in measured_findings if finding.verdict in DECIDED]
    if not measured_findings:
        return f"None of the {len(findings)} claims and hypotheses has an interval."
    count = len(measured_findings)
    standing_slugs = [finding.claim for finding in decided_findings if finding.p < ERROR / count]
    names = ", ".join(standing_slugs)
    standing_words = f"{len(standing_slugs)} stand ({names})" if names else "none stands"
    return (
        f"{count} of {len(findings)} claims and hypotheses have an interval, and "
        f"{len(decided_findings)} of them a verdict. One verdict is wrong in at most {ERROR:.1%} "
        f"of studies; of {count}, up to {ERROR * count:.2g} would be expected wrong by chance, and "
        f"one or more in up to {min(ERROR * count, 1):.0%} of studies. At {ERROR:.1%} for all of "
        f"them together (p below {ERROR / count:.2g}, Bonferroni) {standing_words}."
    )
