"""Floor 7: what a fitted model is good for, one file and one public function per use, each on the contract alone.

``denoising`` (``denoise``), ``anomalies`` (``anomaly_scores``, a threshold at a stated rate of false alarms),
``compression`` (``compress`` and ``decompress``, on ``ans``, ``bits_back`` and ``coding``), ``features`` (``probe``:
codes for a classifier), ``augmentation`` (``augmented_accuracy``) and ``imputation`` (``impute``).
"""
