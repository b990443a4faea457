"""The dynamics of a training: its fingerprint, DMD spectra beside surrogates, residuals, deviations."""
