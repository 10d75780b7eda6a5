"""mien_training: from labelled faces to a model that Mien serves. Needs `pip install 'mien[train]'`."""
