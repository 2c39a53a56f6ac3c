"""Floor 9: several models on the same data for the same time, and one report that says what the numbers support.

``runs`` (``compare``), ``plan`` (what was asked for, and whether it can be done), ``jobs`` (one run), ``entries`` (one
run as a row), ``table`` (which numbers may be ranked), ``words`` (what they support, in sentences), ``figures`` and
``page`` (the report), ``export`` (JSON, CSV, terminal), ``report`` (the result).
"""
