"""The study's claims and hypotheses: what each is measured by, and what the runs say."""
