"""What people look at: the summary of a run, paper tables, figures, and the page ``report.html``."""
