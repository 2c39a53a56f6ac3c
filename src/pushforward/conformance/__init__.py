"""Floor 6: the properties every model must have, tested on any model: ``check``.

``subject.py`` is a model under test, ``twin.py`` a small sister of it on data whose density can be integrated;
``units_hold.py``, ``behaves.py``, ``maps.py``, ``densities.py`` and ``losses.py`` ask the questions, ``report.py``
asks them all, the root of trouble first.
"""
