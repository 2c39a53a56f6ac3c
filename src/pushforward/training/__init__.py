"""Floor 5: one loop that trains every model, over its stages and phases, and can stop and go on bit-exactly.

``settings`` (what a person may choose), ``batches`` (which examples when), ``optimizers`` (AdamW, its schedule, the
moving average), ``checkpoint`` (the whole state in one file), ``loop`` (the loop itself), ``pace`` (steps in a time),
``progress`` (what it shows).
"""
