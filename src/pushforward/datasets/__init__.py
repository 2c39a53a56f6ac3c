"""Floor 4: what a name, a path, an array or a table means as data.

``load.py`` is the door: it looks at what it was given and hands it to the file that reads that kind of thing.

| what comes | read by | becomes |
|---|---|---|
| a name (``digits``, ``8gaussians``, ``mnist``) | ``named.py``, ``toys.py`` | whatever it is |
| a folder of pictures | ``pictures.py`` | ``Image``, class subfolders as ``Label`` |
| ``.npy``, ``.npz``, IDX | ``binary_files.py`` | an array |
| an array, a tensor | ``arrays.py``, ``images.py`` | ``Image`` or ``Points`` |
| CSV, Parquet, a DataFrame | ``delimited.py``, ``tables.py`` | ``Table`` |
| a text file, a folder or list of texts | ``texts.py`` | ``Text`` |

All of them end in ``splits.py``. Importing this package imports nothing else: ``catalogue.py``, which lists the
data sets by name, does so without torch.
"""
