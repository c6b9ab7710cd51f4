"""report.html: what a study asked, found and cost, as one page to send on."""
