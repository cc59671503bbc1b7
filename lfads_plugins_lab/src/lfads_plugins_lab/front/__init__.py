"""What lfads-plugins-lab brings to the Python front door: raw recordings, labelled arrays, tables, figures, NWB, pynapple, an estimator."""
