"""Tables: one object, three faces. A terminal, a page and a JSON document show the same columns of the same rows.

`table` has the columns, `terminal` and `page` lay them out. The other files have the tables of verbs whose results are
pages too; their rows are the JSON values of the verb, so the page of a document of long ago has the same table.
"""
