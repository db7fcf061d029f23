"""Charts as plain functions from data to plotly figures, one a file; the report and the live page show the same."""
