"""What each page says: plain functions from the JSON data of a verb, and what it can be drawn from, to a Page."""
