"""Floor 1: networks, which know nothing of probability. Every network is called as ``net(x, c)``, c optional.

Read in this order: ``modulation`` (how a condition enters), ``mlp`` and ``convnet`` (vectors and images),
``embedding`` (times and positions as vectors), ``unet`` (images to images), ``attention`` and ``transformer``
(sequences, with a cache for generation), ``conditioning`` (a label or a text as vectors), and ``backbones``,
which picks the network that suits the shape of the data.
"""
