"""The report as a folder: `report.json` for programs, one self-contained `report.html` for people."""
