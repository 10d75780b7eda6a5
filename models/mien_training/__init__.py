"""Train, calibrate, export and evaluate models on labelled faces. Requires `pip install 'mien[train]'`."""
