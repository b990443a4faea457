"""The dynamics of a training: its fingerprint, spectra of that, surrogates, residuals, deviations."""
