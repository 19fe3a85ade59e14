"""From labelled frames to a trained network: data sets, the FCN, recipes, training, evaluation."""
