"""Tables: one object, three faces. A terminal, a page and a JSON document show the same columns of the same rows."""
