"""Floor 1: networks, which know nothing of probability. A network is called as ``net(x, c)``, c where it has one.

Read in this order: ``modulation`` (how a condition enters), ``mlp`` and ``convnet`` (vectors and images),
``embedding`` (times and positions as vectors), ``unet`` (images to images), ``attention``, ``transformer`` and
``cache`` (sequences, and their generation one position at a time), ``conditioning`` (a label or a text as vectors),
and ``backbones``, which picks the network that suits the shape of the data.
"""
