"""Floor 0: the contract. What a model, a modality, its units, its data and its noise are; how they are saved.

Read in this order: ``modality`` (what an example is), ``units`` (how it becomes numbers a network can learn,
with the log-determinant counted), ``noise`` (randomness as an argument), ``model`` (fit, sample, score),
``data`` (splits and batches), ``spec`` and ``files`` (objects as JSON and safetensors).
"""
