"""The paper's claims beside Table 4, held against what was measured here."""
