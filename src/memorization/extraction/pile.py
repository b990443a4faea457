"""The subsets of the Pile, as ``meta.pile_set_name`` tells them (Gao et al. 2020, arXiv 2101.00027, table 1)."""

PILE = (
    *("ArXiv", "BookCorpus2", "Books3", "DM Mathematics", "Enron Emails", "EuroParl", "FreeLaw", "Github"),
    *("Gutenberg (PG-19)", "HackerNews", "NIH ExPorter", "OpenSubtitles", "OpenWebText2", "PhilPapers", "Pile-CC"),
    *("PubMed Abstracts", "PubMed Central", "StackExchange", "USPTO Backgrounds", "Ubuntu IRC", "Wikipedia (en)"),
    "YoutubeSubtitles",
)
