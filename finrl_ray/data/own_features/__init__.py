"""Features that functions of the user's compute: `data.features: [my_features:compute]`."""
